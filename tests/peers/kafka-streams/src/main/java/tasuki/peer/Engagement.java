package tasuki.peer;

import java.util.Arrays;

/** A lead's signals by rule, as of an instant. One instance is used over and over. */
final class Engagement {
    final Playbook playbook;
    long asOf;
    /** The rules that match something, in the order of the playbook. */
    final int[] matched;
    int matchedCount;
    /** By rule: how many signals it matches. */
    final int[] counts;
    /** By rule: which signals, in their order. */
    final int[][] signals;
    /** By rule: when each happened, ascending. */
    final long[][] occurred;
    /** By rule: what each is worth as of the instant, before the cap, in {@link Decay} units. */
    final long[][] worth;
    /** By rule: what all are worth, after the cap, in millipoints. */
    final long[] points;

    /** For each shape, a stretch of rules. */
    private int[] matching = new int[64];
    private int[] ends = new int[32];

    Engagement(Playbook playbook) {
        this.playbook = playbook;
        int rules = playbook.rules.length;
        matched = new int[rules];
        counts = new int[rules];
        signals = new int[rules][32];
        occurred = new long[rules][32];
        worth = new long[rules][32];
        points = new long[rules];
    }

    /** Matches every signal that still counts at the instant. Rules are tried once for each shape. */
    void of(LeadState state, long asOf) {
        this.asOf = asOf;
        Arrays.fill(counts, 0);
        matchShapes(state);
        for (int signal = 0; signal < state.size; signal++) {
            long at = state.occurredAt[signal];
            long age = asOf - at;
            if (age > Playbook.KEPT_FOR) {
                continue;
            }
            int shape = state.shapes[signal];
            for (int i = shape == 0 ? 0 : ends[shape - 1]; i < ends[shape]; i++) {
                int rule = matching[i];
                int place = counts[rule]++;
                if (place == signals[rule].length) {
                    grow(rule);
                }
                signals[rule][place] = signal;
                occurred[rule][place] = at;
                worth[rule][place] = Decay.decayed(playbook.rules[rule], age);
            }
        }
        matchedCount = 0;
        for (int rule = 0; rule < counts.length; rule++) {
            if (counts[rule] > 0) {
                matched[matchedCount++] = rule;
                long sum = 0;
                for (int i = 0; i < counts[rule]; i++) {
                    sum += worth[rule][i];
                }
                points[rule] = Decay.rounded(Decay.capped(sum, playbook.rules[rule].cap));
            }
        }
    }

    private void matchShapes(LeadState state) {
        int end = 0;
        if (ends.length < state.shapeCount) {
            ends = new int[state.shapeCount * 2];
        }
        for (int shape = 0; shape < state.shapeCount; shape++) {
            for (int rule : playbook.byKind[state.shapeKinds[shape]]) {
                if (playbook.rules[rule].matches(state, shape)) {
                    if (end == matching.length) {
                        matching = Arrays.copyOf(matching, end * 2);
                    }
                    matching[end++] = rule;
                }
            }
            ends[shape] = end;
        }
    }

    private void grow(int rule) {
        int room = signals[rule].length * 4;
        signals[rule] = Arrays.copyOf(signals[rule], room);
        occurred[rule] = Arrays.copyOf(occurred[rule], room);
        worth[rule] = Arrays.copyOf(worth[rule], room);
    }

    /** The sum of all rules as of the instant, in millipoints; the bounds of the axis are not applied. */
    long raw() {
        long sum = 0;
        for (int i = 0; i < matchedCount; i++) {
            sum += points[matched[i]];
        }
        return sum;
    }

    /** The sum of all rules at a later instant. */
    long rawAt(long instant) {
        long sum = 0;
        for (int i = 0; i < matchedCount; i++) {
            int rule = matched[i];
            long fine = 0;
            for (int signal = 0; signal < counts[rule]; signal++) {
                fine += worthAt(rule, signal, instant);
            }
            sum += Decay.rounded(Decay.capped(fine, playbook.rules[rule].cap));
        }
        return sum;
    }

    /** What one signal of a rule is worth at an instant, before the cap. */
    long worthAt(int rule, int signal, long instant) {
        long age = instant - occurred[rule][signal];
        return age > Playbook.KEPT_FOR ? 0 : Decay.decayed(playbook.rules[rule], age);
    }

    /** How many signals of a fact's rule there are in its window. */
    int count(Playbook.Fact fact) {
        return counts[fact.rule()] - firstIn(fact);
    }

    /** The first signal of a fact's rule that is in its window; the number of its signals if there is none. */
    int firstIn(Playbook.Fact fact) {
        int first = 0;
        while (first < counts[fact.rule()] && asOf - occurred[fact.rule()][first] > fact.window()) {
            first++;
        }
        return first;
    }
}
