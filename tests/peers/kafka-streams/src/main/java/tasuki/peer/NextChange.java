package tasuki.peer;

/**
 * When will time alone change something?
 *
 * <p>Between two instants at which a signal begins to fade or stops to count, a rule is worth {@code c + d * exp(-rate *
 * t)}, one term for all of its signals. Rules that give fall, rules that take rise: what a stretch of time is worth lies
 * between what its two ends allow, and the first crossing is found by halving; where nothing takes, sooner.
 */
final class NextChange {
    /** Most halvings. Where that does not do, the answer is an instant up to which nothing changes. */
    private static final int MOST_STEPS = 2_000;
    private static final int STEPS_PER_STRETCH = 30;
    /** Most steps of Newton's method. */
    private static final int MOST_GUESSES = 16;
    private static final long LOOK_AGAIN = 3_600_000;

    private final Engagement engagement;
    private final Playbook playbook;

    // The terms of the stretch, one for each rule that matches something.
    private long start;
    private final long[] constant;
    private final double[] fading;
    private final double[] rate;
    private final long[] cap;
    private final boolean[] takes;
    private int terms;

    // The ends of the pieces that are still ahead, and what they are worth.
    private long[] ahead = new long[64];
    private long[] aheadGives = new long[64];
    private long[] aheadTakes = new long[64];
    private int aheadCount;

    /** What {@link #glide} found. */
    private double value;
    private double loss;
    /** What {@link #at} found. */
    private long gives;
    private long taken;
    private int steps;
    private boolean outOfSteps;

    NextChange(Engagement engagement) {
        this.engagement = engagement;
        playbook = engagement.playbook;
        int rules = playbook.rules.length;
        constant = new long[rules];
        fading = new double[rules];
        rate = new double[rules];
        cap = new long[rules];
        takes = new boolean[rules];
    }

    /**
     * The first instant after that of the score at which time alone changes a fact or takes engagement, of which so
     * much is shown now, across a boundary of the playbook; {@link LeadState#NONE} if it never does.
     */
    long after(long shown) {
        long fact = Long.MAX_VALUE;
        for (Playbook.Fact asked : playbook.facts) {
            int first = engagement.firstIn(asked);
            if (first < engagement.counts[asked.rule()]) {
                fact = Math.min(fact, engagement.occurred[asked.rule()][first] + asked.window() + 1);
            }
        }
        long change = Math.min(fact, crossing(shown, fact));
        return change == Long.MAX_VALUE ? LeadState.NONE : change;
    }

    /** The first crossing of a boundary, as far as it is before the other instant. */
    private long crossing(long shown, long before) {
        int here = playbook.side(shown);
        boolean nothingTakes = true;
        for (int i = 0; i < engagement.matchedCount; i++) {
            nothingTakes &= playbook.rules[engagement.matched[i]].points >= 0;
        }
        if (here == 0 && nothingTakes) {
            return Long.MAX_VALUE;
        }
        steps = 0;
        outOfSteps = false;
        long from = engagement.asOf;
        for (long end = endOfStretch(from); end != Long.MAX_VALUE; end = endOfStretch(from)) {
            steps += STEPS_PER_STRETCH;
            begin(from);
            // Up to the last millisecond before the end, and then the end itself, where the terms change.
            long found = nothingTakes
                    ? falling(Math.min(end - 1, before), playbook.boundaries[here - 1])
                    : mixed(end - 1, here);
            if (outOfSteps) {
                return Math.max(found, engagement.asOf + LOOK_AGAIN);
            }
            if (found != Long.MAX_VALUE) {
                return found;
            }
            if (end >= before) {
                return Long.MAX_VALUE;
            }
            if (playbook.side(engagement.rawAt(end)) != here) {
                return end;
            }
            from = end;
        }
        return Long.MAX_VALUE;
    }

    /** The first instant after this one at which a signal begins to fade or stops to count. */
    private long endOfStretch(long from) {
        long end = Long.MAX_VALUE;
        for (int i = 0; i < engagement.matchedCount; i++) {
            int rule = engagement.matched[i];
            long[] occurred = engagement.occurred[rule];
            int count = engagement.counts[rule];
            if (occurred[count - 1] > from) {
                end = Math.min(end, occurred[firstAfter(occurred, count, from)]);
            }
            int gone = firstAfter(occurred, count, from - Playbook.KEPT_FOR - 1);
            if (gone < count) {
                end = Math.min(end, occurred[gone] + Playbook.KEPT_FOR + 1);
            }
        }
        return end;
    }

    private static int firstAfter(long[] occurred, int count, long instant) {
        int first = 0;
        while (first < count && occurred[first] <= instant) {
            first++;
        }
        return first;
    }

    /** The terms from this instant on. */
    private void begin(long from) {
        start = from;
        terms = engagement.matchedCount;
        for (int i = 0; i < terms; i++) {
            int index = engagement.matched[i];
            Rule rule = playbook.rules[index];
            long stays = 0;
            long fades = 0;
            for (int signal = 0; signal < engagement.counts[index]; signal++) {
                long worth = from == engagement.asOf
                        ? engagement.worth[index][signal]
                        : engagement.worthAt(index, signal, from);
                // What lies ahead is worth its full points until the stretch ends.
                if (rule.halfLife != 0 && engagement.occurred[index][signal] <= from) {
                    fades += worth;
                } else {
                    stays += worth;
                }
            }
            constant[i] = stays;
            fading[i] = fades;
            rate[i] = rule.rate;
            cap[i] = rule.cap;
            takes[i] = rule.points < 0;
        }
    }

    /** What all rules that give and all that take are worth, by the terms. */
    private void at(long instant) {
        long passed = instant - start;
        gives = 0;
        taken = 0;
        for (int i = 0; i < terms; i++) {
            long faded = fading[i] == 0 ? 0 : Decay.nearest(fading[i] * Math.exp(passed * rate[i]));
            long points = Decay.rounded(Decay.capped(constant[i] + faded, cap[i]));
            if (takes[i]) {
                taken += points;
            } else {
                gives += points;
            }
        }
    }

    /**
     * Nothing takes, so the sum only falls: the first instant at which it is below the boundary. Newton's method goes
     * near; there the roundings of the rules decide, and halving finds the millisecond.
     */
    private long falling(long to, long boundary) {
        if (to <= start || isAbove(to, boundary)) {
            return Long.MAX_VALUE;
        }
        long inside = start;
        long outside = to;
        for (int guesses = 0; guesses < MOST_GUESSES; guesses++) {
            glide(inside);
            long guess = inside + until(value - boundary * Decay.ONE);
            if (guess <= inside || guess >= outside) {
                break;
            }
            if (isAbove(guess, boundary)) {
                inside = guess;
            } else {
                outside = guess;
            }
        }
        // As long as all roundings together can keep it up.
        for (long step = until((terms + 1) * Decay.ONE); step > 1 && inside + step < outside; step *= 2) {
            if (isAbove(inside + step, boundary)) {
                inside += step;
            } else {
                outside = inside + step;
            }
        }
        while (outside - inside > 1) {
            long middle = (inside + outside) >>> 1;
            if (isAbove(middle, boundary)) {
                inside = middle;
            } else {
                outside = middle;
            }
        }
        return outside;
    }

    private boolean isAbove(long instant, long boundary) {
        at(instant);
        return gives >= boundary;
    }

    /** What the rules are worth and how much they lose in a millisecond, without rounding. */
    private void glide(long instant) {
        long passed = instant - start;
        value = 0;
        loss = 0;
        for (int i = 0; i < terms; i++) {
            double faded = fading[i] == 0 ? 0 : fading[i] * Math.exp(passed * rate[i]);
            double worth = constant[i] + faded;
            if (worth < cap[i]) {
                value += worth;
                loss -= faded * rate[i];
            } else {
                value += cap[i];
            }
        }
    }

    /** How long it takes to lose so much if it goes on like this. */
    private long until(double amount) {
        return (long) Math.min(amount / Math.max(loss, 1e-9), 1e15);
    }

    /** The first instant, up to this one, on another side. */
    private long mixed(long end, int here) {
        at(start);
        long from = start;
        long fromGives = gives;
        long fromTakes = taken;
        aheadCount = 0;
        push(end);
        while (aheadCount > 0) {
            if (++steps > MOST_STEPS) {
                outOfSteps = true;
                return from;
            }
            int last = aheadCount - 1;
            long to = ahead[last];
            int most = playbook.side(fromGives + aheadTakes[last]);
            int least = playbook.side(aheadGives[last] + fromTakes);
            long width = to - from;
            if (width > 1 && (most != here || least != here)) {
                push(from + width / 2);
                continue;
            }
            if (width == 1 && playbook.side(aheadGives[last] + aheadTakes[last]) != here) {
                return to;
            }
            from = to;
            fromGives = aheadGives[last];
            fromTakes = aheadTakes[last];
            aheadCount--;
        }
        return Long.MAX_VALUE;
    }

    private void push(long instant) {
        at(instant);
        ahead[aheadCount] = instant;
        aheadGives[aheadCount] = gives;
        aheadTakes[aheadCount++] = taken;
    }
}
