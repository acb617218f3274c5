package tasuki.peer;

import com.google.protobuf.CodedInputStream;
import com.google.protobuf.WireFormat;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import tasuki.v1.Activity.AttributeValue;
import tasuki.v1.Activity.Profile;

/**
 * Which fit rules a profile matches. That changes only with the profile and with the rules, so it is kept in the state.
 * Reads of the profile only the attributes that some rule asks for.
 */
final class Fit {
    private record Attribute(byte[] name, int[] rules) {}

    private static final int EMAIL = WireFormat.WIRETYPE_LENGTH_DELIMITED | Profile.EMAIL_FIELD_NUMBER << 3;
    private static final int ATTRIBUTES = WireFormat.WIRETYPE_LENGTH_DELIMITED | Profile.ATTRIBUTES_FIELD_NUMBER << 3;
    /** Of an entry of the map: its key and its value. */
    private static final int KEY = WireFormat.WIRETYPE_LENGTH_DELIMITED | 1 << 3;
    private static final int VALUE = WireFormat.WIRETYPE_LENGTH_DELIMITED | 2 << 3;
    /** Of a value: what is said. */
    private static final int SAID = WireFormat.WIRETYPE_LENGTH_DELIMITED | AttributeValue.VALUE_FIELD_NUMBER << 3;

    private final FitRule[] rules;
    private final int[] domainRules;
    private final Attribute[] attributes;
    /** By rule: whether it matches. */
    private final boolean[] matches;
    /** Tells playbooks apart whose fit rules differ in anything; never 0. */
    private final int fingerprint;

    Fit(Playbook playbook) {
        rules = playbook.fitRules;
        matches = new boolean[rules.length];
        domainRules = rulesOn(FitRule.EMAIL_DOMAIN);
        List<Attribute> wanted = new ArrayList<>();
        Arrays.stream(rules).map(rule -> rule.attribute).distinct().filter(name -> !name.equals(FitRule.EMAIL_DOMAIN))
                .forEach(name -> wanted.add(new Attribute(name.getBytes(StandardCharsets.UTF_8), rulesOn(name))));
        attributes = wanted.toArray(Attribute[]::new);
        fingerprint = playbook.fitFingerprint == 0 ? 1 : playbook.fitFingerprint;
    }

    private int[] rulesOn(String attribute) {
        return java.util.stream.IntStream.range(0, rules.length).filter(at -> rules[at].attribute.equals(attribute)).toArray();
    }

    /** Sees to it that the state says which rules its profile matches. */
    void of(LeadState state) throws IOException {
        if (state.fitBy == fingerprint) {
            return;
        }
        Arrays.fill(matches, false);
        if (state.profile != null) {
            read(state);
        }
        state.fitBy = fingerprint;
        state.fitCount = 0;
        for (int rule = 0; rule < matches.length; rule++) {
            if (matches[rule]) {
                state.addFit(rule);
            }
        }
    }

    private void read(LeadState state) throws IOException {
        CodedInputStream in =
                CodedInputStream.newInstance(state.profile, state.profileStart, state.profileEnd - state.profileStart);
        for (int tag = in.readTag(); tag != 0; tag = in.readTag()) {
            if (tag == EMAIL && domainRules.length > 0) {
                String email = in.readString();
                int at = email.lastIndexOf('@');
                if (at >= 0) {
                    match(domainRules, email.substring(at + 1));
                }
            } else if (tag == ATTRIBUTES) {
                int limit = in.pushLimit(in.readRawVarint32());
                attribute(state.profile, state.profileStart, in);
                in.popLimit(limit);
            } else {
                in.skipField(tag);
            }
        }
    }

    /** An entry of the map: its key comes before its value. */
    private void attribute(byte[] bytes, int start, CodedInputStream in) throws IOException {
        int[] asking = null;
        for (int tag = in.readTag(); tag != 0; tag = in.readTag()) {
            if (tag == KEY) {
                int length = in.readRawVarint32();
                int at = start + in.getTotalBytesRead();
                asking = asking(bytes, at, at + length);
                in.skipRawBytes(length);
            } else if (tag == VALUE && asking != null) {
                int limit = in.pushLimit(in.readRawVarint32());
                String said = "";
                for (int inner = in.readTag(); inner != 0; inner = in.readTag()) {
                    if (inner == SAID) {
                        said = in.readString();
                    } else {
                        in.skipField(inner);
                    }
                }
                in.popLimit(limit);
                match(asking, said);
            } else {
                in.skipField(tag);
            }
        }
    }

    private int[] asking(byte[] bytes, int start, int end) {
        for (Attribute attribute : attributes) {
            if (Arrays.equals(bytes, start, end, attribute.name, 0, attribute.name.length)) {
                return attribute.rules;
            }
        }
        return null;
    }

    private void match(int[] asking, String value) {
        for (int rule : asking) {
            matches[rule] = rules[rule].test.holds(value);
        }
    }
}
