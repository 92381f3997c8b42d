package io.sparrowkv.cli;

/** What the process tells its caller. */
final class ExitCode {
    static final int OK = 0;
    static final int INTERNAL_FAILURE = 1;
    static final int BAD_INPUT = 2;

    private ExitCode() {}
}
