package io.sparrowkv.io;

/**
 * Input that cannot be used: a file, an option or a setting. The message is one line that names the place, the field and the
 * value, and says what to do; the command line prints it as it is and exits with code 2.
 */
public final class InvalidInputException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    public InvalidInputException(String message) {
        super(message);
    }

    public InvalidInputException(String message, Throwable cause) {
        super(message, cause);
    }
}
