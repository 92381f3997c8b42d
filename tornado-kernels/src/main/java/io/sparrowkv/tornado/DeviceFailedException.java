package io.sparrowkv.tornado;

/** A device did not do what it was asked to. */
final class DeviceFailedException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    DeviceFailedException(String reason, Throwable cause) {
        super(reason, cause);
    }
}
