package io.sparrowkv.cli;

import io.sparrowkv.io.AtomicFile;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.report.Json;
import io.sparrowkv.report.Report;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** Where and in which form a command's result goes. */
public final class OutputArguments {
    @Spec(Spec.Target.MIXEE)
    private CommandSpec command;

    @Option(names = "--json", description = "Write the result as one JSON document on stdout, and nothing else there.")
    private boolean json;

    private Path jsonFile;

    /** Takes the option; by a method, so that a place that cannot be written is refused before hours of work. */
    @Option(
            names = "--json-file",
            paramLabel = "FILE",
            description = "Write the result as JSON to FILE too, which is put in place when it is complete.")
    void jsonFile(Path file) {
        try {
            OutputPaths.requireWritable(file);
        } catch (InvalidInputException e) {
            throw new ParameterException(command.commandLine(), "--json-file " + e.getMessage(), e);
        }
        jsonFile = file;
    }

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
        if (jsonFile != null) {
            AtomicFile.write(jsonFile, (Json.text(report) + System.lineSeparator()).getBytes(StandardCharsets.UTF_8));
        }
        if (json) {
            Json.write(out(), report);
        } else {
            report.print(out());
            out().flush();
        }
    }
}
