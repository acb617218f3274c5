package tasuki.peer;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * Writes the protobuf message ScoreRecord, from its end to its beginning, so that the length of every part is known
 * when it is needed and no part becomes an object. One instance is used over and over.
 */
final class ScoreWriter {
    static final int BECAUSE_ACTIVITY = 1;
    static final int BECAUSE_PROFILE = 2;
    static final int BECAUSE_RETRACTION = 3;
    static final int BECAUSE_TIME = 4;
    private static final int MOST_EVIDENCE = 20;
    private static final int AXIS_FIT = 1;
    private static final int AXIS_ENGAGEMENT = 2;
    private static final byte[] CAP = "cap".getBytes(StandardCharsets.UTF_8);
    private static final byte[][] KINDS =
            Playbook.KINDS.stream().map(kind -> kind.getBytes(StandardCharsets.UTF_8)).toArray(byte[][]::new);
    private static final int PAGE_VIEWED = 1;
    private static final int NONE = -1;

    private static final int VARINT = 0;
    private static final int FIXED64 = 1;
    private static final int BYTES = 2;

    private final Playbook playbook;
    private final Engagement engagement;
    private byte[] out = new byte[16 * 1024];
    /** Where what is written begins. */
    private int at;
    /** For each signal, its place among those that are named, or {@link #NONE}. */
    private int[] place = new int[64];
    /** The signals that are named, newest first. */
    private int[] named = new int[64];
    /** For each shape, the place of its words, or {@link #NONE}. */
    private int[] wordOfShape = new int[32];
    /** For each of the words, the first shape that is called so. */
    private int[] wordShape = new int[32];
    private int wordCount;

    ScoreWriter(Playbook playbook, Engagement engagement) {
        this.playbook = playbook;
        this.engagement = engagement;
    }

    /** The sums of the axes as they are shown. */
    long shown(long raw, long cap) {
        return Math.max(0, Math.min(cap, raw));
    }

    /** The record of the score that {@code engagement} and the state hold. */
    byte[] write(LeadState state, int because, byte[] eventId, byte[] cause, byte[] lead, long receivedAt) {
        at = out.length;
        evidence(state);
        varint(11, because);
        varint(10, state.size);
        if (state.profile != null) {
            int length = state.profileEnd - state.profileStart;
            bytes(9, state.profile, state.profileStart, length);
        }
        if (state.nextChangeAt != LeadState.NONE) {
            fixed(8, state.nextChangeAt);
        }
        for (int i = playbook.facts.length - 1; i >= 0; i--) {
            int mark = written();
            zigzag(2, engagement.count(playbook.facts[i]));
            text(1, playbook.facts[i].name());
            message(7, mark);
        }
        long fitSum = fitContributions(state);
        long engagementSum = engagementContributions(state);
        bytes(5, playbook.grade(engagementSum, fitSum), 0, 2);
        zigzag(4, fitSum);
        zigzag(3, engagementSum);
        fixed(2, engagement.asOf);
        varint(1, playbook.version);
        message(10, 0);

        int mark = written();
        varint(6, state.version);
        bytes(5, lead, 0, 16);
        bytes(4, cause, 0, 16);
        fixed(3, Math.max(engagement.asOf, receivedAt));
        fixed(2, engagement.asOf);
        bytes(1, eventId, 0, 16);
        message(1, mark);
        return Arrays.copyOfRange(out, at, out.length);
    }

    private long fitContributions(LeadState state) {
        long raw = 0;
        for (int i = 0; i < state.fitCount; i++) {
            raw += playbook.fitRules[state.fit[i]].points;
        }
        long shown = shown(raw, playbook.fitCap);
        cap(AXIS_FIT, shown - raw);
        for (int i = state.fitCount - 1; i >= 0; i--) {
            FitRule rule = playbook.fitRules[state.fit[i]];
            int mark = written();
            varint(5, 1);
            zigzag(4, rule.points);
            zigzag(3, rule.points);
            text(2, rule.name);
            varint(1, AXIS_FIT);
            message(6, mark);
        }
        return shown;
    }

    private long engagementContributions(LeadState state) {
        long raw = engagement.raw();
        long shown = shown(raw, playbook.engagementCap);
        cap(AXIS_ENGAGEMENT, shown - raw);
        for (int i = engagement.matchedCount - 1; i >= 0; i--) {
            int index = engagement.matched[i];
            int count = engagement.counts[index];
            Rule rule = playbook.rules[index];
            int mark = written();
            // The newest first, and written from the end: the oldest of them comes first here.
            int oldest = Math.max(0, count - MOST_EVIDENCE);
            int points = written();
            for (int signal = oldest; signal < count; signal++) {
                long worth = Decay.rounded(engagement.worth[index][signal]);
                rawVarint(worth << 1 ^ worth >> 63);
            }
            message(8, points);
            int places = written();
            for (int signal = oldest; signal < count; signal++) {
                rawVarint(place[engagement.signals[index][signal]]);
            }
            message(7, places);
            varint(5, count);
            zigzag(4, rule.points * count);
            zigzag(3, engagement.points[index]);
            text(2, rule.name);
            varint(1, AXIS_ENGAGEMENT);
            message(6, mark);
        }
        return shown;
    }

    private void cap(int axis, long points) {
        if (points != 0) {
            int mark = written();
            zigzag(3, points);
            text(2, CAP);
            varint(1, axis);
            message(6, mark);
        }
    }

    /** The signals that are evidence under any rule, newest first, each once, column by column. */
    private void evidence(LeadState state) {
        int count = name(state);
        int mark = written();
        for (int word = wordCount - 1; word >= 0; word--) {
            word(state, wordShape[word]);
        }
        if (count > 0) {
            int what = written();
            for (int i = count - 1; i >= 0; i--) {
                rawVarint(wordOfShape[state.shapes[named[i]]]);
            }
            message(7, what);
            int earlier = written();
            for (int i = count - 1; i >= 0; i--) {
                long before = i == 0 ? engagement.asOf : state.occurredAt[named[i - 1]];
                long by = before - state.occurredAt[named[i]];
                rawVarint(by << 1 ^ by >> 63);
            }
            message(6, earlier);
            int ids = written();
            room(16 * count);
            for (int i = count - 1; i >= 0; i--) {
                at -= 16;
                Big.LONG.set(out, at, state.idHigh[named[i]]);
                Big.LONG.set(out, at + 8, state.idLow[named[i]]);
            }
            message(5, ids);
        }
        message(12, mark);
    }

    /** Finds the signals to name, the place of each, and the words for them. Says how many signals there are. */
    private int name(LeadState state) {
        if (place.length < state.size) {
            place = new int[state.size * 2];
            named = new int[state.size * 2];
        }
        if (wordOfShape.length < state.shapeCount) {
            wordOfShape = new int[state.shapeCount * 2];
            wordShape = new int[state.shapeCount * 2];
        }
        Arrays.fill(place, 0, state.size, NONE);
        Arrays.fill(wordOfShape, 0, state.shapeCount, NONE);
        wordCount = 0;
        for (int i = 0; i < engagement.matchedCount; i++) {
            int rule = engagement.matched[i];
            int count = engagement.counts[rule];
            for (int signal = Math.max(0, count - MOST_EVIDENCE); signal < count; signal++) {
                place[engagement.signals[rule][signal]] = 0;
            }
        }
        int count = 0;
        for (int signal = state.size - 1; signal >= 0; signal--) {
            if (place[signal] != NONE) {
                place[signal] = count;
                named[count++] = signal;
                int shape = state.shapes[signal];
                if (wordOfShape[shape] == NONE) {
                    wordOfShape[shape] = wordOf(state, shape);
                }
            }
        }
        return count;
    }

    /** The place of the words for a shape: other shapes may be called the same. */
    private int wordOf(LeadState state, int shape) {
        for (int word = 0; word < wordCount; word++) {
            int known = wordShape[word];
            if (state.shapeKinds[known] == state.shapeKinds[shape] && textOf(state, known) == textOf(state, shape)) {
                return word;
            }
        }
        wordShape[wordCount] = shape;
        return wordCount++;
    }

    private int textOf(LeadState state, int shape) {
        return state.shapeTexts[shape * 4 + (state.shapeKinds[shape] == PAGE_VIEWED ? 1 : 0)];
    }

    /** In words of the playbook: {@code FormSubmitted demo-request}. */
    private void word(LeadState state, int shape) {
        int text = textOf(state, shape);
        int mark = written();
        if (text != 0) {
            int start = state.textStart(text);
            raw(state.texts, start, state.textEnd(text) - start);
            out[--at] = ' ';
        }
        byte[] name = KINDS[state.shapeKinds[shape] - 1];
        raw(name, 0, name.length);
        message(8, mark);
    }

    private int written() {
        return out.length - at;
    }

    /** Puts field number and length before what was written since. */
    private void message(int field, int mark) {
        rawVarint(written() - mark);
        tag(field, BYTES);
    }

    private void text(int field, byte[] text) {
        bytes(field, text, 0, text.length);
    }

    private void bytes(int field, byte[] from, int start, int length) {
        raw(from, start, length);
        rawVarint(length);
        tag(field, BYTES);
    }

    /** Zero is what stands for a number that is not written. */
    private void varint(int field, long number) {
        if (number != 0) {
            rawVarint(number);
            tag(field, VARINT);
        }
    }

    private void zigzag(int field, long number) {
        varint(field, number << 1 ^ number >> 63);
    }

    private void fixed(int field, long number) {
        if (number != 0) {
            room(9);
            at -= 8;
            Big.LITTLE.set(out, at, number);
            tag(field, FIXED64);
        }
    }

    private void raw(byte[] from, int start, int length) {
        room(length + 1);
        at -= length;
        System.arraycopy(from, start, out, at, length);
    }

    private void tag(int field, int type) {
        room(1);
        out[--at] = (byte) (field << 3 | type);
    }

    private void rawVarint(long number) {
        room(10);
        if ((number & ~0x7fL) == 0) {
            out[--at] = (byte) number;
            return;
        }
        at -= (70 - Long.numberOfLeadingZeros(number)) / 7;
        int to = at;
        while ((number & ~0x7fL) != 0) {
            out[to++] = (byte) (number | 0x80);
            number >>>= 7;
        }
        out[to] = (byte) number;
    }

    private void room(int bytes) {
        if (at < bytes) {
            int written = written();
            byte[] larger = new byte[Math.max(out.length * 2, written + bytes)];
            System.arraycopy(out, at, larger, larger.length - written, written);
            at = larger.length - written;
            out = larger;
        }
    }
}
