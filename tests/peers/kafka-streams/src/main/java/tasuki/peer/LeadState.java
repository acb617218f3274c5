package tasuki.peer;

import com.google.protobuf.ByteString;
import java.util.Arrays;

/**
 * What scoring remembers about a lead, unpacked. One instance is used over and over for one lead after the other, so
 * that reading a state allocates nothing.
 *
 * <p>As bytes: numbers in 7-bit groups, signed ones zigzag; each text and each shape of signals stands once; instants
 * of signals are differences to the signal before; the profile is the protobuf message as it came.
 */
final class LeadState {
    static final int MOST_SIGNALS = 500;
    /** Most bytes of a text that are kept. */
    static final int MOST_TEXT = 256;
    /** Stands for no instant. */
    static final long NONE = Long.MIN_VALUE;
    private static final byte FORMAT = 1;

    /** The latest version seen on the input. */
    long seen;
    /** The latest version written to the output. */
    long version;
    long nextChangeAt;
    long profileReceivedAt;
    /** The latest receipt among the signals that had to go. */
    long droppedReceivedAt;

    /** All texts, one behind the other. Text 0 is the empty one. */
    byte[] texts = new byte[4096];
    private int[] textEnds = new int[64];
    private int textCount;

    int shapeCount;
    int[] shapeKinds = new int[32];
    /** Four for each shape: about, path, source, campaign. */
    int[] shapeTexts = new int[4 * 32];

    /** The signals, in the order of (occurred at, id). */
    int size;
    long[] idHigh = new long[MOST_SIGNALS + 1];
    long[] idLow = new long[MOST_SIGNALS + 1];
    long[] occurredAt = new long[MOST_SIGNALS + 1];
    long[] receivedAt = new long[MOST_SIGNALS + 1];
    int[] shapes = new int[MOST_SIGNALS + 1];

    /** The profile as a message, in {@code [profileStart, profileEnd)}; null: none is known. */
    byte[] profile;
    int profileStart;
    int profileEnd;

    /** By which fit rules what follows was found; 0 when it has to be found. */
    int fitBy;
    /** The fit rules that the profile matches, ascending. */
    int fitCount;
    int[] fit = new int[16];

    private byte[] in;
    private int at;
    private byte[] out = new byte[8192];
    private int[] newTexts = new int[64];
    private int[] newShapes = new int[32];
    private int[] oldTexts = new int[64];
    private int[] oldShapes = new int[32];

    int textStart(int number) {
        return number <= 1 ? 0 : textEnds[number - 2];
    }

    int textEnd(int number) {
        return number == 0 ? 0 : textEnds[number - 1];
    }

    /** The latest receipt among all of the lead's events; {@link #NONE} if there are none. */
    long asOf() {
        long latest = Math.max(profileReceivedAt, droppedReceivedAt);
        for (int i = 0; i < size; i++) {
            latest = Math.max(latest, receivedAt[i]);
        }
        return latest;
    }

    /** The place of a signal, or -1. */
    int find(long high, long low) {
        for (int i = size - 1; i >= 0; i--) {
            if (idLow[i] == low && idHigh[i] == high) {
                return i;
            }
        }
        return -1;
    }

    /** Adds a signal that is not known yet. */
    void insert(long high, long low, long occurred, long received, int shape) {
        int place = size;
        while (place > 0 && isAfter(place - 1, occurred, high, low)) {
            place--;
        }
        if (size == idHigh.length) {
            growSignals();
        }
        move(place, place + 1, size - place);
        idHigh[place] = high;
        idLow[place] = low;
        occurredAt[place] = occurred;
        receivedAt[place] = received;
        shapes[place] = shape;
        size++;
    }

    void remove(int place) {
        move(place + 1, place, size - place - 1);
        size--;
    }

    /** Drops what is too old or too much; the oldest go first. */
    void prune() {
        long asOf = asOf();
        int drop = 0;
        while (drop < size && asOf - occurredAt[drop] > Playbook.KEPT_FOR) {
            drop++;
        }
        drop = Math.max(drop, size - MOST_SIGNALS);
        if (drop <= 0) {
            return;
        }
        for (int i = 0; i < drop; i++) {
            droppedReceivedAt = Math.max(droppedReceivedAt, receivedAt[i]);
        }
        move(drop, 0, size - drop);
        size -= drop;
    }

    private boolean isAfter(int place, long occurred, long high, long low) {
        if (occurredAt[place] != occurred) {
            return occurredAt[place] > occurred;
        }
        int order = Long.compareUnsigned(idHigh[place], high);
        return (order != 0 ? order : Long.compareUnsigned(idLow[place], low)) > 0;
    }

    private void move(int from, int to, int count) {
        System.arraycopy(idHigh, from, idHigh, to, count);
        System.arraycopy(idLow, from, idLow, to, count);
        System.arraycopy(occurredAt, from, occurredAt, to, count);
        System.arraycopy(receivedAt, from, receivedAt, to, count);
        System.arraycopy(shapes, from, shapes, to, count);
    }

    private void growSignals() {
        int room = idHigh.length * 2;
        idHigh = Arrays.copyOf(idHigh, room);
        idLow = Arrays.copyOf(idLow, room);
        occurredAt = Arrays.copyOf(occurredAt, room);
        receivedAt = Arrays.copyOf(receivedAt, room);
        shapes = Arrays.copyOf(shapes, room);
    }

    /** The number of a text, which becomes known if it is not. */
    int text(ByteString text) {
        int length = text.size();
        if (length == 0) {
            return 0;
        }
        if (length > MOST_TEXT) {
            length = MOST_TEXT;
            while ((text.byteAt(length) & 0xc0) == 0x80) {
                length--;
            }
        }
        int end = textEnd(textCount);
        if (end + length > texts.length) {
            texts = Arrays.copyOf(texts, Math.max(texts.length * 2, end + length));
        }
        text.copyTo(texts, 0, end, length);
        for (int number = 1; number <= textCount; number++) {
            if (Arrays.equals(texts, textStart(number), textEnd(number), texts, end, end + length)) {
                return number;
            }
        }
        addTextEnd(end + length);
        return textCount;
    }

    private void addText(byte[] from, int start, int length) {
        int end = textEnd(textCount);
        if (end + length > texts.length) {
            texts = Arrays.copyOf(texts, Math.max(texts.length * 2, end + length));
        }
        System.arraycopy(from, start, texts, end, length);
        addTextEnd(end + length);
    }

    private void addTextEnd(int end) {
        if (textCount == textEnds.length) {
            textEnds = Arrays.copyOf(textEnds, textCount * 2);
        }
        textEnds[textCount++] = end;
    }

    /** The number of a shape, which becomes known if it is not. */
    int shape(int kind, int about, int path, int source, int campaign) {
        for (int shape = 0; shape < shapeCount; shape++) {
            int i = shape * 4;
            if (shapeKinds[shape] == kind && shapeTexts[i] == about && shapeTexts[i + 1] == path
                    && shapeTexts[i + 2] == source && shapeTexts[i + 3] == campaign) {
                return shape;
            }
        }
        int i = addShape(kind) * 4;
        shapeTexts[i] = about;
        shapeTexts[i + 1] = path;
        shapeTexts[i + 2] = source;
        shapeTexts[i + 3] = campaign;
        return shapeCount - 1;
    }

    private int addShape(int kind) {
        if (shapeCount == shapeKinds.length) {
            shapeKinds = Arrays.copyOf(shapeKinds, shapeCount * 2);
            shapeTexts = Arrays.copyOf(shapeTexts, shapeCount * 8);
        }
        shapeKinds[shapeCount] = kind;
        return shapeCount++;
    }

    /** Reads the instant at which time alone will change something, and nothing else. */
    static long nextChangeAt(byte[] bytes) {
        long at = 0;
        for (int i = 8; i >= 1; i--) {
            at = at << 8 | bytes[i] & 0xff;
        }
        return at;
    }

    /** Takes a state from its bytes; null is that of a lead nothing is known about. */
    void decode(byte[] bytes) {
        seen = 0;
        version = 0;
        nextChangeAt = NONE;
        profileReceivedAt = NONE;
        droppedReceivedAt = NONE;
        textCount = 0;
        shapeCount = 0;
        size = 0;
        profile = null;
        fitBy = 0;
        fitCount = 0;
        if (bytes == null) {
            return;
        }
        if (bytes[0] != FORMAT) {
            throw new IllegalArgumentException("a state of format " + bytes[0]);
        }
        in = bytes;
        nextChangeAt = nextChangeAt(bytes);
        at = 9;
        seen = unsigned();
        version = unsigned();
        profileReceivedAt = optional();
        droppedReceivedAt = optional();
        for (int count = (int) unsigned(); count > 0; count--) {
            int length = (int) unsigned();
            addText(in, at, length);
            at += length;
        }
        for (int count = (int) unsigned(); count > 0; count--) {
            int head = in[at++];
            int i = addShape(head >> 4 & 15) * 4;
            for (int field = 0; field < 4; field++) {
                shapeTexts[i + field] = (head >> field & 1) != 0 ? (int) unsigned() : 0;
            }
        }
        decodeSignals((int) unsigned());
        fitBy = (int) unsigned();
        for (int count = (int) unsigned(); count > 0; count--) {
            addFit((int) unsigned());
        }
        int length = (int) unsigned();
        if (length > 0) {
            profile = in;
            profileStart = at;
            profileEnd = at + length - 1;
        }
    }

    void addFit(int rule) {
        if (fitCount == fit.length) {
            fit = Arrays.copyOf(fit, fitCount * 2);
        }
        fit[fitCount++] = rule;
    }

    private void decodeSignals(int count) {
        while (count > idHigh.length) {
            growSignals();
        }
        long before = 0;
        for (int i = 0; i < count; i++) {
            idHigh[i] = (long) Big.LONG.get(in, at);
            idLow[i] = (long) Big.LONG.get(in, at + 8);
            at += 16;
            before += signed();
            occurredAt[i] = before;
            receivedAt[i] = before + signed();
            shapes[i] = (int) unsigned();
        }
        size = count;
    }

    private long optional() {
        return in[at++] == 0 ? NONE : signed();
    }

    private long signed() {
        long zigzag = unsigned();
        return zigzag >>> 1 ^ -(zigzag & 1);
    }

    private long unsigned() {
        byte b = in[at++];
        long number = b & 0x7f;
        for (int shift = 7; b < 0; shift += 7) {
            b = in[at++];
            number |= (long) (b & 0x7f) << shift;
        }
        return number;
    }

    /** As bytes. Texts and shapes that no signal has any more are left out. */
    byte[] encode() {
        int textsUsed = renumber();
        int most = 64 + textEnd(textCount) + 5 * textCount + 24 * shapesUsed + 41 * size + 5 * fitCount
                + (profile == null ? 0 : profileEnd - profileStart + 10);
        if (out.length < most) {
            out = new byte[most * 2];
        }
        out[0] = FORMAT;
        for (int i = 0; i < 8; i++) {
            out[1 + i] = (byte) (nextChangeAt >>> 8 * i);
        }
        at = 9;
        writeUnsigned(seen);
        writeUnsigned(version);
        writeOptional(profileReceivedAt);
        writeOptional(droppedReceivedAt);
        writeUnsigned(textsUsed);
        for (int i = 0; i < textsUsed; i++) {
            int start = textStart(oldTexts[i]);
            write(texts, start, textEnd(oldTexts[i]) - start);
        }
        writeUnsigned(shapesUsed);
        for (int i = 0; i < shapesUsed; i++) {
            writeShape(oldShapes[i]);
        }
        writeUnsigned(size);
        long before = 0;
        for (int i = 0; i < size; i++) {
            Big.LONG.set(out, at, idHigh[i]);
            Big.LONG.set(out, at + 8, idLow[i]);
            at += 16;
            writeSigned(occurredAt[i] - before);
            writeSigned(receivedAt[i] - occurredAt[i]);
            writeUnsigned(newShapes[shapes[i]]);
            before = occurredAt[i];
        }
        writeUnsigned(fitBy & 0xffff_ffffL);
        writeUnsigned(fitCount);
        for (int i = 0; i < fitCount; i++) {
            writeUnsigned(fit[i]);
        }
        if (profile == null) {
            out[at++] = 0;
        } else {
            // One more than its length: an empty profile is a profile.
            int length = profileEnd - profileStart;
            writeUnsigned(length + 1L);
            System.arraycopy(profile, profileStart, out, at, length);
            at += length;
        }
        return Arrays.copyOf(out, at);
    }

    private int shapesUsed;

    /** Gives texts and shapes new numbers, in the order of their first use. Says how many texts there are. */
    private int renumber() {
        if (newTexts.length <= textCount) {
            newTexts = new int[textEnds.length + 1];
            oldTexts = new int[textEnds.length + 1];
        }
        if (newShapes.length < shapeCount) {
            newShapes = new int[shapeKinds.length];
            oldShapes = new int[shapeKinds.length];
        }
        Arrays.fill(newTexts, 0, textCount + 1, 0);
        Arrays.fill(newShapes, 0, shapeCount, -1);
        shapesUsed = 0;
        int textsUsed = 0;
        for (int i = 0; i < size && shapesUsed < shapeCount; i++) {
            int shape = shapes[i];
            if (newShapes[shape] >= 0) {
                continue;
            }
            newShapes[shape] = shapesUsed;
            oldShapes[shapesUsed++] = shape;
            for (int field = 0; field < 4; field++) {
                int text = shapeTexts[shape * 4 + field];
                if (text != 0 && newTexts[text] == 0) {
                    oldTexts[textsUsed++] = text;
                    newTexts[text] = textsUsed;
                }
            }
        }
        return textsUsed;
    }

    private void writeShape(int shape) {
        int head = at++;
        int present = 0;
        for (int field = 0; field < 4; field++) {
            int text = shapeTexts[shape * 4 + field];
            if (text != 0) {
                present |= 1 << field;
                writeUnsigned(newTexts[text]);
            }
        }
        out[head] = (byte) (shapeKinds[shape] << 4 | present);
    }

    private void write(byte[] bytes, int start, int length) {
        writeUnsigned(length);
        System.arraycopy(bytes, start, out, at, length);
        at += length;
    }

    private void writeOptional(long instant) {
        if (instant == NONE) {
            out[at++] = 0;
        } else {
            out[at++] = 1;
            writeSigned(instant);
        }
    }

    private void writeSigned(long number) {
        writeUnsigned(number << 1 ^ number >> 63);
    }

    private void writeUnsigned(long number) {
        while ((number & ~0x7fL) != 0) {
            out[at++] = (byte) (number | 0x80);
            number >>>= 7;
        }
        out[at++] = (byte) number;
    }
}
