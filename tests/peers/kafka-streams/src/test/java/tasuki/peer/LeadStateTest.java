package tasuki.peer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.protobuf.ByteString;
import org.junit.jupiter.api.Test;

class LeadStateTest {
    private static LeadState empty() {
        LeadState state = new LeadState();
        state.decode(null);
        return state;
    }

    private static void form(LeadState state, long id, long at, String about) {
        int shape = state.shape(2, state.text(ByteString.copyFromUtf8(about)), 0, 0, 0);
        state.insert(0, id, at, at + 1, shape);
    }

    @Test
    void signalsAreInTheOrderOfTimeAndIdAndReadBack() {
        LeadState state = empty();
        form(state, 3, 5, "demo");
        form(state, -1, 5, "demo");
        form(state, 2, 1, "newsletter");
        state.nextChangeAt = 99;
        state.seen = 300;
        state.addFit(4);
        byte[] bytes = state.encode();
        LeadState again = new LeadState();
        again.decode(bytes);
        assertArrayEquals(new long[] {2, 3, -1}, java.util.Arrays.copyOf(again.idLow, again.size));
        assertEquals(99, LeadState.nextChangeAt(bytes));
        assertArrayEquals(bytes, again.encode());
    }

    @Test
    void textsThatNoSignalHasAnyMoreAreLeftOut() {
        LeadState state = empty();
        form(state, 1, 1, "a text that goes with its signal");
        form(state, 2, 2, "demo");
        byte[] both = state.encode();
        state.remove(state.find(0, 1));
        byte[] one = state.encode();
        state.decode(one);
        assertEquals(1, state.shapeCount);
        assertEquals(both.length - 1 - 32 - 2 - 19, one.length);
    }

    @Test
    void theOldestGoWhenThereAreTooManyOrWhenTheyAreTooOld() {
        long hour = 3_600_000;
        LeadState state = empty();
        for (int id = 0; id < 502; id++) {
            form(state, id, id * hour, "");
        }
        state.prune();
        assertEquals(LeadState.MOST_SIGNALS, state.size);
        assertEquals(2, state.idLow[0]);
        assertEquals(hour + 1, state.droppedReceivedAt);
        state.profileReceivedAt = Playbook.KEPT_FOR + 5 * hour;
        state.prune();
        assertEquals(5, state.idLow[0]);
    }

    @Test
    void longTextsAreCutAtACharacter() {
        LeadState state = empty();
        int text = state.text(ByteString.copyFromUtf8("é".repeat(127) + "日本"));
        assertEquals(254, state.textEnd(text) - state.textStart(text));
        assertEquals(text, state.text(ByteString.copyFromUtf8("é".repeat(127) + "本日")));
    }
}
