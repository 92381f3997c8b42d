package io.sparrowkv.cli;

import io.sparrowkv.report.Json;
import io.sparrowkv.report.Report;
import java.io.PrintWriter;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Where and in which form a command's result goes. */
public final class OutputArguments {
    @Spec(Spec.Target.MIXEE)
    private CommandSpec command;

    @Option(names = "--json", description = "Write the result as one JSON document on stdout, and nothing else there.")
    private boolean json;

    /** Whether the result is to be JSON, and stdout therefore not for anything else. */
    public boolean json() {
        return json;
    }

    /** The result's stream, stdout. */
    public PrintWriter out() {
        return command.commandLine().getOut();
    }

    /** The stream of everything beside the result, stderr. */
    public PrintWriter err() {
        return command.commandLine().getErr();
    }

    /** Writes the result in the asked form. */
    public void emit(Report report) {
        if (json) {
            Json.write(out(), report);
        } else {
            report.print(out());
            out().flush();
        }
    }
}
