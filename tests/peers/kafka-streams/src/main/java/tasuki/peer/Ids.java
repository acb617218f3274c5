package tasuki.peer;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/** Derived event ids (UUIDv5): the same work done again gives the same ids. For one thread. */
final class Ids {
    private static final byte[] DERIVED_EVENTS = uuid(0x6ca8_5f6e_91f3_5a6cL, 0xb6f0_3c55_29a1_4d07L);
    private static final byte[] REPORTED_EVENTS = uuid(0x1d0f_54fb_5e0b_5c7aL, 0x9f43_8d7e_7760_11c2L);
    private static final byte[] SERVICE = "scoring".getBytes(StandardCharsets.UTF_8);

    private final MessageDigest sha1;
    private final byte[] position = new byte[4];

    Ids() {
        try {
            sha1 = MessageDigest.getInstance("SHA-1");
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    /** The id of the event at this position among those that follow from the cause. */
    byte[] derived(byte[] cause, int at) {
        sha1.update(DERIVED_EVENTS);
        sha1.update(cause);
        position[0] = (byte) (at >>> 24);
        position[1] = (byte) (at >>> 16);
        position[2] = (byte) (at >>> 8);
        position[3] = (byte) at;
        sha1.update(position);
        sha1.update(SERVICE);
        return version5();
    }

    /** The id of a deadline that fires. */
    byte[] due(long at, byte[] key) {
        sha1.update(REPORTED_EVENTS);
        sha1.update(SERVICE);
        sha1.update((byte) 0);
        sha1.update(("due " + at + " ").getBytes(StandardCharsets.UTF_8));
        sha1.update(key);
        return version5();
    }

    private byte[] version5() {
        byte[] id = java.util.Arrays.copyOf(sha1.digest(), 16);
        id[6] = (byte) (id[6] & 0x0f | 0x50);
        id[8] = (byte) (id[8] & 0x3f | 0x80);
        return id;
    }

    /** Whether the key is this id as text: lower-case or upper-case, with its dashes. */
    static boolean isText(byte[] key, byte[] id) {
        if (key == null || key.length != 36) {
            return false;
        }
        int at = 0;
        for (int i = 0; i < 16; i++) {
            if ((at == 8 || at == 13 || at == 18 || at == 23) && key[at++] != '-') {
                return false;
            }
            if (Character.digit(key[at++], 16) != (id[i] >> 4 & 15) || Character.digit(key[at++], 16) != (id[i] & 15)) {
                return false;
            }
        }
        return true;
    }

    /** The id that this key is. */
    static byte[] parse(byte[] key) {
        java.util.UUID id = java.util.UUID.fromString(new String(key, StandardCharsets.US_ASCII));
        return uuid(id.getMostSignificantBits(), id.getLeastSignificantBits());
    }

    private static byte[] uuid(long high, long low) {
        return ByteBuffer.allocate(16).putLong(high).putLong(low).array();
    }
}
