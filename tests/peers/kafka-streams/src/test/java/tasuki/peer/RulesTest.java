package tasuki.peer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.List;
import org.junit.jupiter.api.Test;

/** The cases are those of the tests of crates/playbook and crates/scoring. */
class RulesTest {
    private static boolean matches(String pattern, String text) {
        byte[] bytes = ("<" + text + ">").getBytes(StandardCharsets.UTF_8);
        return new Glob(pattern).matches(bytes, 1, bytes.length - 1);
    }

    @Test
    void patternsMatchWholeTexts() {
        for (List<?> each : List.<List<?>>of(
                List.of("/pricing*", "/pricing/enterprise", true), List.of("/pricing*", "/Pricing", true),
                List.of("/pricing", "/pricing/", false), List.of("*demo*", "Request a DEMO now", true),
                List.of("*demo*", "dem", false), List.of("a*b*c", "a-b-b-c", true), List.of("a*b*c", "acb", false),
                List.of("ab*ba", "aba", false), List.of("*", "", true), List.of("資料*", "資料請求", true))) {
            assertEquals(each.get(2), matches((String) each.get(0), (String) each.get(1)), each.toString());
        }
    }

    @Test
    void phrasesAreWholeWordsWhereThereAreWords() {
        for (List<?> each : List.<List<?>>of(
                List.of("CTO", "cto", true), List.of("cto", "director", false), List.of("VP", "VP sales", true),
                List.of("head of", "global Head of marketing", true), List.of("部長", "営業部長", true),
                List.of("ceo", "ceo/founder", true))) {
            FitRule.Test test = FitRule.mentions(List.of((String) each.get(0)));
            assertEquals(each.get(2), test.holds((String) each.get(1)), each.toString());
        }
    }

    @Test
    void sizesAreReadAsPeopleWriteThem() {
        assertEquals(List.of(250L, 1_000L, 51L, 1_000L, -1L),
                List.of("250", "1,000", " 51-200", "1000+", "many").stream().map(FitRule::leadingNumber).toList());
    }

    @Test
    void halfIsLeftAfterAHalfLife() {
        long day = 86_400_000;
        Rule rule = new Rule("form", 2, 30_000, 30 * day, 0, new Glob[4][]);
        assertEquals(List.of(30_000L, 15_000L, 7_500L), List.of(-5L, 30 * day, 60 * day).stream()
                .map(age -> Decay.rounded(Decay.decayed(rule, age))).toList());
        Rule takes = new Rule("careers", 1, -30_000, 30 * day, 0, new Glob[4][]);
        assertEquals(-21_213, Decay.rounded(Decay.decayed(takes, 15 * day)));
        Rule stays = new Rule("badge", 1, 30_000, 0, 0, new Glob[4][]);
        assertEquals(30_000L << 32, Decay.decayed(stays, 399 * day));
    }

    @Test
    void halvesAreRoundedAwayFromZeroAndCapsHoldBothWays() {
        long half = 1L << 31;
        assertEquals(List.of(1L, 0L, -1L, 0L),
                List.of(half, half - 1, -half, 1 - half).stream().map(Decay::rounded).toList());
        assertEquals(List.of(2L << 32, -(2L << 32), 1L << 32),
                List.of(9L << 32, -(9L << 32), 1L << 32).stream().map(sum -> Decay.capped(sum, 2L << 32)).toList());
    }

    @Test
    void derivedIdsAreThoseOfTasuki() {
        byte[] cause = new byte[16];
        cause[15] = 1;
        assertEquals("d8c3416682b1502fab02115b64faabb6", HexFormat.of().formatHex(new Ids().derived(cause, 0)));
    }

    @Test
    void routesSayWhatTheyAskForAndWhereTheyTurn() throws Exception {
        Playbook playbook = Playbook.parse("""
                version = 3
                [engagement]
                cap = 100
                [[engagement.rules]]
                name = "demo"
                event = "FormSubmitted"
                points = 30.5
                [fit]
                cap = 100
                rules = []
                [grades]
                fit = { A = 70, B = 45, C = 20 }
                engagement = { 1 = 70, 2 = 40, 3 = 15 }
                [[routes]]
                name = "one"
                when = 'signals.within("demo", "48h") > 0 && engagement >= 60.5 || 40 < engagement'
                """);
        assertEquals("signals.within(\"demo\",\"2d\")", new String(playbook.facts[0].name(), StandardCharsets.UTF_8));
        assertEquals(List.of(15_000L, 40_000L, 40_001L, 60_500L, 60_501L, 70_000L),
                java.util.Arrays.stream(playbook.boundaries).boxed().toList());
        assertEquals(30_500, playbook.rules[0].points);
        assertEquals("B3", new String(playbook.grade(15_000, 69_999), StandardCharsets.US_ASCII));
        assertThrows(IllegalArgumentException.class, () -> Playbook.length("3w"));
    }
}
