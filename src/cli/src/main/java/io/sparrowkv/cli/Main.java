package io.sparrowkv.cli;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

/** Where the process starts and ends. */
public final class Main {
    private Main() {}

    public static void main(String[] args) {
        // Text of a model is UTF-8 whatever the locale says.
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.UTF_8);
        PrintStream err = new PrintStream(new FileOutputStream(FileDescriptor.err), true, StandardCharsets.UTF_8);
        // What libraries print is no part of a result.
        System.setOut(err);
        int code = Sparrow.run(args, out, err);
        // A stream of this kind keeps failures to itself: a full disk would leave an empty file and a code of success.
        if (out.checkError() && code == ExitCode.OK) {
            err.println("sparrow: error: the result could not be written to stdout");
            code = ExitCode.INTERNAL_FAILURE;
        }
        System.exit(code);
    }
}
