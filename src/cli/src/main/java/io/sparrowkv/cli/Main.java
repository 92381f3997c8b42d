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
        int code = Sparrow.run(args, out, err);
        out.flush();
        System.exit(code);
    }
}
