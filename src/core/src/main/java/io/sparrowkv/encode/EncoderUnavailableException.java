package io.sparrowkv.encode;

/** A backend that looked usable could not be started; the message says why and what to do about it, in one line. */
public final class EncoderUnavailableException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    public EncoderUnavailableException(String message) {
        super(message);
    }
}
