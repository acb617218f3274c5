package tasuki.peer;

import java.nio.charset.StandardCharsets;

/** Points for something a lead did. */
final class Rule {
    final byte[] name;
    final String title;
    /** Code of the kind of event. */
    final int kind;
    /** Millipoints for each time. */
    final long points;
    /** After so many milliseconds half is left; 0: the points stay. */
    final long halfLife;
    /** What the age in milliseconds is multiplied with, so that {@code exp} gives what is left. */
    final double rate;
    /** The most that all times together give or take, in {@link Decay} units; {@code Long.MAX_VALUE}: no limit. */
    final long cap;
    /** By field: about, path, source, campaign; null where anything will do. */
    private final Glob[][] patterns;

    Rule(String name, int kind, long points, long halfLife, long capMillipoints, Glob[][] patterns) {
        this.title = name;
        this.name = name.getBytes(StandardCharsets.UTF_8);
        this.kind = kind;
        this.points = points;
        this.halfLife = halfLife;
        this.rate = halfLife == 0 ? 0 : -Math.log(2) / halfLife;
        this.cap = capMillipoints == 0 ? Long.MAX_VALUE : capMillipoints << Decay.FINE_BITS;
        this.patterns = patterns;
    }

    /** Whether a shape of signals is one of this rule's; its kind is known to be the right one. */
    boolean matches(LeadState state, int shape) {
        for (int field = 0; field < patterns.length; field++) {
            Glob[] globs = patterns[field];
            if (globs != null && !oneOf(globs, state, state.shapeTexts[shape * 4 + field])) {
                return false;
            }
        }
        return true;
    }

    private static boolean oneOf(Glob[] globs, LeadState state, int text) {
        int start = state.textStart(text);
        int end = state.textEnd(text);
        for (Glob glob : globs) {
            if (glob.matches(state.texts, start, end)) {
                return true;
            }
        }
        return false;
    }
}
