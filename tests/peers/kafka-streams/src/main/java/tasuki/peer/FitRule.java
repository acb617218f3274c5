package tasuki.peer;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.Set;

/** Points while an attribute of the lead is as said. */
final class FitRule {
    /** Stands for the part of the e-mail address after the {@code @}. */
    static final String EMAIL_DOMAIN = "email_domain";

    /** What the value of the attribute is asked. */
    interface Test {
        boolean holds(String value);
    }

    final byte[] name;
    final String attribute;
    /** Millipoints. */
    final long points;
    final Test test;

    FitRule(String name, String attribute, long points, Test test) {
        this.name = name.getBytes(StandardCharsets.UTF_8);
        this.attribute = attribute;
        this.points = points;
        this.test = test;
    }

    /** One of these phrases is in it, as whole words. */
    static Test mentions(List<String> phrases) {
        String[] lower = phrases.stream().map(phrase -> trim(phrase).toLowerCase(Locale.ROOT)).toArray(String[]::new);
        return value -> {
            String text = value.toLowerCase(Locale.ROOT);
            for (String phrase : lower) {
                if (mentions(text, phrase)) {
                    return true;
                }
            }
            return false;
        };
    }

    /** It is one of these; case is ignored. */
    static Test oneOf(List<String> values) {
        Set<String> lower = Set.copyOf(values.stream().map(value -> trim(value).toLowerCase(Locale.ROOT)).toList());
        return value -> lower.contains(trim(value).toLowerCase(Locale.ROOT));
    }

    /** The number that it begins with lies between these, both included. */
    static Test number(long from, long to) {
        return value -> {
            long number = leadingNumber(value);
            return number >= 0 && number >= from && number <= to;
        };
    }

    /** Where phrase begins or ends with a letter or digit of ASCII, no other may be next to it. */
    static boolean mentions(String text, String phrase) {
        boolean opens = isWord(phrase.charAt(0));
        boolean closes = isWord(phrase.charAt(phrase.length() - 1));
        int at = text.indexOf(phrase);
        while (at >= 0) {
            int end = at + phrase.length();
            boolean gluedBefore = opens && at > 0 && isWord(text.charAt(at - 1));
            boolean gluedBehind = closes && end < text.length() && isWord(text.charAt(end));
            if (!gluedBefore && !gluedBehind) {
                return true;
            }
            at = text.indexOf(phrase, end);
        }
        return false;
    }

    private static boolean isWord(char c) {
        return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z';
    }

    /** {@code 250}, {@code 1,000}, {@code 51-200} (51), {@code 1000+}; -1 if it begins with no number. */
    static long leadingNumber(String value) {
        String text = trim(value);
        long number = -1;
        for (int at = 0; at < text.length(); at++) {
            char c = text.charAt(at);
            if (c == ',') {
                continue;
            }
            if (c < '0' || c > '9') {
                break;
            }
            number = Math.max(number, 0);
            if (number > (Long.MAX_VALUE - 9) / 10) {
                return -1;
            }
            number = number * 10 + (c - '0');
        }
        return number;
    }

    /** Without white space at both ends, no-break spaces among it. */
    static String trim(String text) {
        int start = 0;
        int end = text.length();
        while (start < end && isSpace(text.charAt(start))) {
            start++;
        }
        while (end > start && isSpace(text.charAt(end - 1))) {
            end--;
        }
        return text.substring(start, end);
    }

    private static boolean isSpace(char c) {
        return Character.isWhitespace(c) && !(c >= 0x1c && c <= 0x1f) || Character.isSpaceChar(c) || c == 0x85;
    }
}
