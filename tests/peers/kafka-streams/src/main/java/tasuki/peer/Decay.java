package tasuki.peer;

/**
 * How points fade, in integers: millipoints with 32 binary digits behind the point, so that sums are exact. A rule's
 * amount is rounded to millipoints once, after its cap.
 */
final class Decay {
    static final int FINE_BITS = 32;
    static final double ONE = 1L << FINE_BITS;
    private static final long HALF = 1L << (FINE_BITS - 1);

    private Decay() {}

    /** What is left of the points of one signal at this age. */
    static long decayed(Rule rule, long age) {
        return rule.halfLife != 0 && age > 0
                ? nearest(rule.points * ONE * Math.exp(age * rule.rate))
                : rule.points << FINE_BITS;
    }

    /** Within the cap of a rule, whichever the sign. */
    static long capped(long sum, long cap) {
        return Math.max(-cap, Math.min(cap, sum));
    }

    /** To millipoints; halves go away from zero. */
    static long rounded(long amount) {
        return amount < 0 ? -((-amount + HALF) >> FINE_BITS) : (amount + HALF) >> FINE_BITS;
    }

    static long nearest(double amount) {
        return (long) (amount < 0 ? amount - 0.5 : amount + 0.5);
    }
}
