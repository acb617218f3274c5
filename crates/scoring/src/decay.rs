//! How points fade, in integers.
//!
//! Inside a rule, amounts are millipoints with 32 binary digits behind the point: sums are exact, in any order, and
//! fit: 500 signals of 1,000 points need 61 bits. A rule's amount is rounded to millipoints once, after its cap.

use tasuki_domain::{Millipoints, Millis};
use tasuki_playbook::Decay;

/// Millipoints times 2^32.
pub(crate) type Fine = i64;

pub(crate) const FINE_BITS: u32 = 32;
/// A millipoint in [`Fine`].
pub(crate) const ONE: f64 = 4_294_967_296.0;

/// What is left of these points at this age. It never gets more with age.
#[inline]
pub(crate) fn decayed(points: Millipoints, decay: &Decay, age: Millis) -> Fine {
    let all = points.get().saturating_mul(1 << FINE_BITS);
    if age.get() <= 0 {
        return all;
    }
    match decay {
        Decay::HalfLife(half_life) => from_f64(millis_f64(points.get()) * ONE * remaining(*half_life, age)),
        Decay::Stays => all,
        Decay::Linear(over) => linear(points, *over, age),
        Decay::Steps(steps) => {
            let taken = steps.iter().rev().find(|step| age > step.after);
            taken.map_or(all, |step| all.saturating_mul(i64::from(step.left)) / 100)
        }
        Decay::Window(window) if age > *window => 0,
        Decay::Window(_) => all,
    }
}

/// Exactly the part of the time that is left, of which what lies behind the 32 digits is cut off. The time is at most that
/// for which signals are kept, which has fewer than 36 digits, and points have at most 20: nothing here has more than 56.
fn linear(points: Millipoints, over: Millis, age: Millis) -> Fine {
    let left = (over.get() - age.get()).max(0);
    let all = points.get().abs().saturating_mul(left);
    let (mut fine, mut rest) = (all / over.get(), all % over.get());
    // Half of the digits at a time, so that nothing overflows.
    for _ in 0..2 {
        rest <<= FINE_BITS / 2;
        fine = (fine << (FINE_BITS / 2)) | (rest / over.get());
        rest %= over.get();
    }
    if points.get() < 0 { -fine } else { fine }
}

/// The part that is left at this age, which is not below zero: a half after one half-life.
#[inline]
pub(crate) fn remaining(half_life: Millis, age: Millis) -> f64 {
    half_to_the(millis_f64(age.get()) / millis_f64(half_life.get()))
}

/// A half to the power of a number that is not below zero, to within two units in the last place; zero from 1,022 on.
///
/// A table has the powers of the 64ths, and the first terms of the series do the rest, which is below a 128th. Only
/// additions and multiplications, each of them rounded as IEEE 754 says: the same bits on every machine. It is here
/// because a call into the library of mathematics takes four times as long, and a score does this for each match.
#[inline]
pub(crate) fn half_to_the(power: f64) -> f64 {
    if power >= 1_022.0 {
        return 0.0;
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "cuts off; below 65,409 as just checked"
    )]
    let sixty_fourths = (power * 64.0 + 0.5) as u32;
    let rest = power - f64::from(sixty_fourths) * 0.015_625;
    let [a, b, c, d, e] = SERIES;
    let series = 1.0 + rest * (a + rest * (b + rest * (c + rest * (d + rest * e))));
    let fraction = usize::try_from(sixty_fourths % 64).map_or(1.0, |at| POWERS[at]);
    let halvings = f64::from_bits(u64::from(1_023 - sixty_fourths / 64) << 52);
    fraction * series * halvings
}

/// Coefficients of the series of `2^-x`: powers of `-ln 2` divided by factorials.
const SERIES: [f64; 5] = [
    -std::f64::consts::LN_2,
    0.240_226_506_959_100_72,
    -0.055_504_108_664_821_58,
    0.009_618_129_107_628_477,
    -0.001_333_355_814_642_844_3,
];

/// `2^(-n/64)`.
#[rustfmt::skip]
const POWERS: [f64; 64] = [
    1.0, 0.989_228_013_193_975_5, 0.978_572_062_087_700_1, 0.968_030_896_746_147_2,
    0.957_603_280_698_573_7, 0.947_287_990_793_482_8, 0.937_083_817_055_15, 0.926_989_562_541_692_7,
    0.917_004_043_204_671_2, 0.907_126_087_750_199_4, 0.897_354_537_501_553_6, 0.887_688_246_263_260_6,
    0.878_126_080_186_649_7, 0.868_666_917_636_853_1, 0.859_309_649_061_239, 0.850_053_176_859_261_7,
    0.840_896_415_253_714_5, 0.831_838_290_163_368_2, 0.822_877_739_076_982_5, 0.814_013_710_928_673_9,
    0.805_245_165_974_627_1, 0.796_571_075_671_133_5, 0.787_990_422_553_943_2, 0.779_502_200_118_918_5,
    0.771_105_412_703_970_4, 0.762_799_075_372_269_2, 0.754_582_213_796_711_4, 0.746_453_864_145_632_4,
    0.738_413_072_969_749_7, 0.730_458_897_090_323_5, 0.722_590_403_488_523_3, 0.714_806_669_195_985,
    std::f64::consts::FRAC_1_SQRT_2, 0.699_489_836_269_155_6, 0.691_954_940_981_916, 0.684_501_211_487_295_3,
    0.677_127_773_468_446_3, 0.669_833_762_026_651_5, 0.662_618_321_579_870_7, 0.655_480_605_762_382_2,
    0.648_419_777_325_504_8, 0.641_435_008_039_389_1, 0.634_525_478_595_866_6, 0.627_690_378_512_345_5,
    0.620_928_906_036_742, 0.614_240_268_053_435, 0.607_623_679_990_234_5, 0.601_078_365_726_351_5,
    0.594_603_557_501_360_5, 0.588_198_495_825_140_6, 0.581_862_429_388_788_7, 0.575_594_614_976_491_3,
    0.569_394_317_378_345_8, 0.563_260_809_304_120_9, 0.557_193_371_297_946_2, 0.551_191_291_653_920_4,
    0.545_253_866_332_628_8, 0.539_380_398_878_559_9, 0.533_570_200_338_411_8, 0.527_822_589_180_278_6,
    0.522_136_891_213_706_9, 0.516_512_439_510_614_2, 0.510_948_574_327_058_3, 0.505_444_643_025_850_2,
];

/// Within the cap of a rule, whichever the sign.
#[inline]
pub(crate) fn capped(sum: Fine, cap: Option<Millipoints>) -> Fine {
    match cap {
        Some(cap) => {
            let most = cap.get().saturating_mul(1 << FINE_BITS);
            sum.clamp(-most, most)
        }
        None => sum,
    }
}

/// To millipoints; halves go away from zero.
#[inline]
pub(crate) fn rounded(amount: Fine) -> Millipoints {
    let half = 1 << (FINE_BITS - 1);
    let magnitude = amount.abs().saturating_add(half) >> FINE_BITS;
    Millipoints::new(if amount < 0 { -magnitude } else { magnitude })
}

/// To the nearest whole number. (The library's rounding does the same, ten times slower.)
#[inline]
pub(crate) fn from_f64(amount: f64) -> Fine {
    let half = if amount < 0.0 { -0.5 } else { 0.5 };
    #[allow(clippy::cast_possible_truncation, reason = "cuts off, and sums stay within 61 bits, see above")]
    let whole = (amount + half) as i64;
    whole
}

/// Whether an amount that is known to within `fuzz` is rounded to the same millipoints wherever in there it lies.
pub(crate) fn surely_rounded(amount: Fine, fuzz: Fine) -> bool {
    rounded(amount.saturating_sub(fuzz)) == rounded(amount.saturating_add(fuzz))
}

/// Exact up to 2^53, which is 285,000 years of milliseconds, and beyond what points can be.
#[inline]
pub(crate) fn millis_f64(number: i64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use tasuki_playbook::Step;

    use super::*;

    #[test]
    fn half_is_left_after_a_half_life() {
        let (points, half_life) = (Millipoints::from_points(30), Decay::HalfLife(Millis::from_days(30)));
        for (age, left) in [(Millis::new(-5), 30_000), (Millis::from_days(30), 15_000), (Millis::from_days(60), 7_500)]
        {
            assert_eq!(rounded(decayed(points, &half_life, age)), Millipoints::new(left));
        }
        assert_eq!(rounded(decayed(-points, &half_life, Millis::from_days(15))), Millipoints::new(-21_213));
        assert_eq!(decayed(points, &Decay::Stays, Millis::from_days(399)), 30_000 << 32);
    }

    #[test]
    fn nothing_is_left_behind_the_end_and_all_ends_are_exact() {
        let (points, days) = (Millipoints::from_points(30), |number| Millis::from_days(number));
        let left = |decay: &Decay, age: Millis| {
            assert_eq!(decayed(points, decay, age), -decayed(-points, decay, age));
            rounded(decayed(points, decay, age)).get()
        };
        let linear = Decay::Linear(days(60));
        let ages = [days(-1), days(0), days(20), days(59), days(60), days(61)];
        assert_eq!(ages.map(|age| left(&linear, age)), [30_000, 30_000, 20_000, 500, 0, 0]);
        let exact = (30_000_i128 << 32) * i128::from(days(60).get() - 12_345_678) / i128::from(days(60).get());
        assert_eq!(i128::from(decayed(points, &linear, Millis::new(12_345_678))), exact);
        let most = decayed(Millipoints::from_points(1_000), &Decay::Linear(days(400)), Millis::new(1));
        assert_eq!(i128::from(most), (1_000_000_i128 << 32) * (34_560_000_000 - 1) / 34_560_000_000);
        let behind = |number| Millis::new(days(number).get() + 1);
        let window = Decay::Window(days(7));
        assert_eq!([days(-1), days(7), behind(7)].map(|age| left(&window, age)), [30_000, 30_000, 0]);
        let steps = [(30, 50), (90, 10)].map(|(after, left)| Step { after: days(after), left });
        let steps = Decay::Steps(steps.to_vec());
        let ages = [days(30), behind(30), days(90), behind(90), days(400)];
        assert_eq!(ages.map(|age| left(&steps, age)), [30_000, 15_000, 15_000, 3_000, 3_000]);
    }

    #[test]
    fn powers_are_those_of_the_library_to_the_last_places() {
        let mut power = 0.0;
        while power < 1_021.0 {
            let (ours, theirs) = (half_to_the(power), libm::exp2(-power));
            assert!((ours / theirs - 1.0).abs() < 5e-16, "{power}: {ours} and {theirs}");
            power += 0.003_7 + power / 1_000.0;
        }
        assert_eq!([0.0, 1.0, 10.0].map(half_to_the), [1.0, 0.5, 1.0 / 1_024.0]);
        assert_eq!([1_022.0, 1e300].map(half_to_the), [0.0, 0.0]);
    }

    #[test]
    fn halves_are_rounded_away_from_zero_and_caps_hold_both_ways() {
        let half = 1 << 31;
        assert_eq!([half, half - 1, -half, 1 - half].map(|fine| rounded(fine).get()), [1, 0, -1, 0]);
        let cap = Some(Millipoints::new(2));
        assert_eq!([9 << 32, -(9 << 32), 1 << 32].map(|sum| rounded(capped(sum, cap)).get()), [2, -2, 1]);
    }
}
