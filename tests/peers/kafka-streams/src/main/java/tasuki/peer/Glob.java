package tasuki.peer;

import java.nio.charset.StandardCharsets;

/** A pattern for UTF-8 texts: {@code *} stands for any run of characters, case is ignored for the letters of ASCII. */
final class Glob {
    /** What stands between the stars, lower-case; one part when there is no star. */
    private final byte[][] parts;

    Glob(String text) {
        String[] between = text.split("\\*", -1);
        parts = new byte[between.length][];
        for (int i = 0; i < between.length; i++) {
            parts[i] = between[i].getBytes(StandardCharsets.UTF_8);
            for (int at = 0; at < parts[i].length; at++) {
                parts[i][at] = lower(parts[i][at]);
            }
        }
    }

    /** Whether the whole text, which stands in {@code [start, end)}, is as the pattern says. */
    boolean matches(byte[] text, int start, int end) {
        byte[] first = parts[0];
        if (parts.length == 1) {
            return end - start == first.length && isAt(text, start, first);
        }
        byte[] last = parts[parts.length - 1];
        if (end - start < first.length + last.length || !isAt(text, start, first)
                || !isAt(text, end - last.length, last)) {
            return false;
        }
        int from = start + first.length;
        int to = end - last.length;
        for (int i = 1; i < parts.length - 1; i++) {
            int found = find(text, from, to, parts[i]);
            if (found < 0) {
                return false;
            }
            from = found + parts[i].length;
        }
        return true;
    }

    private static int find(byte[] text, int from, int to, byte[] part) {
        for (int at = from; at <= to - part.length; at++) {
            if (isAt(text, at, part)) {
                return at;
            }
        }
        return -1;
    }

    private static boolean isAt(byte[] text, int at, byte[] part) {
        for (int i = 0; i < part.length; i++) {
            if (lower(text[at + i]) != part[i]) {
                return false;
            }
        }
        return true;
    }

    private static byte lower(byte b) {
        return b >= 'A' && b <= 'Z' ? (byte) (b + 32) : b;
    }
}
