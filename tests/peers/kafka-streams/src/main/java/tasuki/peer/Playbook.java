package tasuki.peer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.dataformat.toml.TomlMapper;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The part of a playbook file that scoring needs. The file is taken to be one that Tasuki accepts. */
final class Playbook {
    /** A signal counts at most so long, in milliseconds. */
    static final long KEPT_FOR = 400L * 86_400_000;

    /** How many signals of a rule there were in a window of time. */
    record Fact(byte[] name, int rule, long window) {}

    static final List<String> KINDS = List.of(
            "PageViewed", "FormSubmitted", "EmailOpened", "EmailClicked", "ContentDownloaded", "EventAttended",
            "SurveyAnswered", "AssessmentCompleted", "ReferralReceived", "InquiryReceived", "LeadIdentified",
            "ConsentChanged", "CustomBehavior");

    private static final Pattern WITHIN = Pattern.compile("signals\\.within\\(\\s*\"([^\"]+)\"\\s*,\\s*\"([^\"]+)\"\\s*\\)");
    private static final String NUMBER = "(-?[0-9]+(?:\\.[0-9]+)?)";
    private static final Pattern ENGAGEMENT =
            Pattern.compile("\\bengagement\\s*[<>=!]=?\\s*" + NUMBER + "|" + NUMBER + "\\s*[<>=!]=?\\s*engagement\\b");

    final int version;
    final Rule[] rules;
    /** For each code of a kind of event, the indices of its rules. */
    final int[][] byKind;
    final long engagementCap;
    final FitRule[] fitRules;
    final long fitCap;
    /** Of all that the fit rules say. */
    final int fitFingerprint;
    final Fact[] facts;
    /** Millipoints of engagement at which the grade or some route turns, ascending. */
    final long[] boundaries;
    private final long[] fitGrades;
    private final long[] engagementGrades;

    private Playbook(JsonNode file) {
        version = file.path("version").asInt();
        engagementCap = millipoints(file.at("/engagement/cap"));
        fitCap = millipoints(file.at("/fit/cap"));
        rules = entries(file.at("/engagement/rules")).map(Playbook::rule).toArray(Rule[]::new);
        fitRules = entries(file.at("/fit/rules")).map(Playbook::fitRule).toArray(FitRule[]::new);
        fitFingerprint = file.at("/fit/rules").toString().hashCode();
        fitGrades = grades(file.at("/grades/fit"), "A", "B", "C");
        engagementGrades = grades(file.at("/grades/engagement"), "1", "2", "3");
        byKind = new int[KINDS.size() + 1][];
        for (int kind = 0; kind <= KINDS.size(); kind++) {
            int wanted = kind;
            byKind[kind] = java.util.stream.IntStream.range(0, rules.length).filter(at -> rules[at].kind == wanted).toArray();
        }
        Map<String, Fact> asked = new LinkedHashMap<>();
        TreeSet<Long> turns = new TreeSet<>();
        for (long grade : engagementGrades) {
            turns.add(grade);
        }
        entries(file.path("routes")).forEach(route -> condition(route.path("when").asText(), asked, turns));
        facts = asked.values().toArray(Fact[]::new);
        boundaries = turns.stream().mapToLong(Long::longValue).filter(at -> at > 0 && at <= engagementCap).toArray();
    }

    static Playbook read(Path file) throws IOException {
        return new Playbook(new TomlMapper().readTree(file.toFile()));
    }

    static Playbook parse(String text) throws IOException {
        return new Playbook(new TomlMapper().readTree(text));
    }

    /** Fit letter and engagement digit. */
    byte[] grade(long engagement, long fit) {
        int letter = 0;
        while (letter < 3 && fit < fitGrades[letter]) {
            letter++;
        }
        int digit = 0;
        while (digit < 3 && engagement < engagementGrades[digit]) {
            digit++;
        }
        return GRADES[letter * 4 + digit];
    }

    private static final byte[][] GRADES = new byte[16][];

    static {
        for (int grade = 0; grade < 16; grade++) {
            GRADES[grade] = new byte[] {(byte) ('A' + grade / 4), (byte) ('1' + grade % 4)};
        }
    }

    /** How many boundaries are reached. */
    int side(long engagement) {
        int side = 0;
        while (side < boundaries.length && boundaries[side] <= engagement) {
            side++;
        }
        return side;
    }

    /** Notes what a route asks for, and at which amounts of engagement it turns: at the number, or right above it. */
    private void condition(String when, Map<String, Fact> asked, TreeSet<Long> turns) {
        Matcher within = WITHIN.matcher(when);
        while (within.find()) {
            long window = length(within.group(2));
            String name = "signals.within(\"" + within.group(1) + "\",\"" + lengthText(window) + "\")";
            asked.computeIfAbsent(name, text -> new Fact(text.getBytes(StandardCharsets.UTF_8), ruleNamed(within.group(1)), window));
        }
        Matcher compared = ENGAGEMENT.matcher(when);
        while (compared.find()) {
            String number = compared.group(1) != null ? compared.group(1) : compared.group(2);
            long at = Math.round(Double.parseDouble(number) * 1_000);
            turns.add(at);
            turns.add(at + 1);
        }
    }

    private int ruleNamed(String name) {
        for (int at = 0; at < rules.length; at++) {
            if (rules[at].title.equals(name)) {
                return at;
            }
        }
        throw new IllegalArgumentException("no engagement rule is named " + name);
    }

    private static Rule rule(JsonNode entry) {
        int kind = KINDS.indexOf(entry.path("event").asText()) + 1;
        if (kind == 0) {
            throw new IllegalArgumentException("no such kind of event: " + entry.path("event"));
        }
        Glob[][] patterns = {
            globs(entry.path("about")), globs(entry.path("path")), globs(entry.path("source")), globs(entry.path("campaign"))
        };
        long halfLife = entry.has("half_life") ? length(entry.path("half_life").asText()) : 0;
        long cap = entry.has("cap") ? millipoints(entry.path("cap")) : 0;
        return new Rule(entry.path("name").asText(), kind, millipoints(entry.path("points")), halfLife, cap, patterns);
    }

    private static FitRule fitRule(JsonNode entry) {
        FitRule.Test test;
        if (entry.has("mentions")) {
            test = FitRule.mentions(texts(entry.path("mentions")));
        } else if (entry.has("one_of")) {
            test = FitRule.oneOf(texts(entry.path("one_of")));
        } else {
            test = FitRule.number(entry.path("from").asLong(0), entry.path("to").asLong(Long.MAX_VALUE));
        }
        return new FitRule(entry.path("name").asText(), entry.path("attribute").asText(), millipoints(entry.path("points")), test);
    }

    private static Glob[] globs(JsonNode list) {
        return list.isArray() ? texts(list).stream().map(Glob::new).toArray(Glob[]::new) : null;
    }

    private static List<String> texts(JsonNode list) {
        List<String> texts = new ArrayList<>();
        list.forEach(text -> texts.add(text.asText()));
        return texts;
    }

    private static java.util.stream.Stream<JsonNode> entries(JsonNode list) {
        return java.util.stream.StreamSupport.stream(list.spliterator(), false);
    }

    private static long[] grades(JsonNode section, String... names) {
        return java.util.Arrays.stream(names).mapToLong(name -> millipoints(section.path(name))).toArray();
    }

    private static long millipoints(JsonNode points) {
        return Math.round(points.asDouble() * 1_000);
    }

    /** A whole number of minutes, hours or days, in milliseconds. */
    static long length(String text) {
        long number = Long.parseLong(text.substring(0, text.length() - 1));
        return switch (text.charAt(text.length() - 1)) {
            case 'm' -> number * 60_000;
            case 'h' -> number * 3_600_000;
            case 'd' -> number * 86_400_000;
            default -> throw new IllegalArgumentException("not a length of time: " + text);
        };
    }

    /** In the largest unit that gives a whole number. */
    private static String lengthText(long length) {
        if (length % 86_400_000 == 0) {
            return length / 86_400_000 + "d";
        }
        return length % 3_600_000 == 0 ? length / 3_600_000 + "h" : length / 60_000 + "m";
    }
}
