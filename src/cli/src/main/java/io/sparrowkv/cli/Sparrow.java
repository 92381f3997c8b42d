package io.sparrowkv.cli;

import io.sparrowkv.encode.NonFiniteVectorException;
import io.sparrowkv.io.InvalidInputException;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.List;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.UnmatchedArgumentException;

/** The root command: it knows the others, the options common to all, and what a failure looks like. */
@Command(
        name = "sparrow",
        description = "A streaming compressor for the key/value cache of decoder language models.",
        mixinStandardHelpOptions = true,
        scope = ScopeType.INHERIT,
        versionProvider = Version.class,
        synopsisSubcommandLabel = "COMMAND",
        subcommands = {
            DemoCommand.class,
            GenerateCommand.class,
            CaptureCommand.class,
            TrainCommand.class,
            CalibrateCommand.class,
            EvalCommand.class,
            StoreCommand.class,
            BenchCommand.class,
            InfoCommand.class,
            DevicesCommand.class,
            BundleCommand.class
        })
public final class Sparrow {
    private static final String STACK_TRACE = "--stacktrace";

    @Option(
            names = {"-v", "--verbose"},
            scope = ScopeType.INHERIT,
            description = "Log more; twice for everything.")
    private boolean[] verbose = {};

    @SuppressWarnings("unused") // declared for the parser and the help; read from the arguments themselves
    @Option(names = STACK_TRACE, scope = ScopeType.INHERIT, description = "Show where an error came from.")
    private boolean stackTrace;

    private Sparrow() {}

    /**
     * Runs one command.
     *
     * @param out where the result goes
     * @param err where errors, log lines and progress go
     * @return the exit code: 0 done, 1 internal failure, 2 input that cannot be used
     */
    public static int run(String[] args, PrintStream out, PrintStream err) {
        // Looked up here, since it must also hold when the command line cannot be parsed.
        boolean stackTrace = List.of(args).contains(STACK_TRACE);
        Failures failures = new Failures(err, stackTrace);
        Sparrow root = new Sparrow();
        CommandLine line = new CommandLine(root)
                .setOut(new PrintWriter(out, false, StandardCharsets.UTF_8))
                .setErr(new PrintWriter(err, true, StandardCharsets.UTF_8))
                .setCaseInsensitiveEnumValuesAllowed(true)
                .setUsageHelpAutoWidth(true)
                .setParameterExceptionHandler((e, ignored) -> failures.usage(e))
                .setExecutionExceptionHandler((e, command, parsed) -> failures.report(e))
                .setExecutionStrategy(parsed -> root.execute(parsed));
        try {
            return line.execute(args);
        } catch (Throwable e) {
            // picocli hands on exceptions alone; an OutOfMemoryError deserves a clear line as well.
            return failures.report(e);
        } finally {
            line.getOut().flush();
        }
    }

    private int execute(ParseResult parsed) {
        if (!parsed.isUsageHelpRequested() && !parsed.isVersionHelpRequested()) {
            Logging.verbosity(verbose.length);
        }
        return new CommandLine.RunLast().execute(parsed);
    }

    /** Turns what went wrong into one line on stderr and an exit code. */
    private record Failures(PrintStream err, boolean stackTrace) {
        int usage(ParameterException e) {
            StringBuilder message = new StringBuilder(firstLine(e));
            if (e instanceof UnmatchedArgumentException unmatched
                    && !unmatched.getSuggestions().isEmpty()) {
                message.append("; did you mean ")
                        .append(String.join(" or ", unmatched.getSuggestions()))
                        .append('?');
            }
            String command = e.getCommandLine().getCommandSpec().qualifiedName();
            return fail(message + " (see '" + command + " --help')", e, ExitCode.BAD_INPUT);
        }

        int report(Throwable thrown) {
            for (Throwable cause = thrown; cause != null; cause = cause.getCause()) {
                if (cause instanceof InvalidInputException || cause instanceof NonFiniteVectorException) {
                    return fail(cause.getMessage(), thrown, ExitCode.BAD_INPUT);
                }
                if (cause instanceof LinkageError && Boolean.getBoolean(Home.ENCODE_ONLY)) {
                    return fail(
                            "this copy of Sparrow KV lacks what that needs; write a complete one"
                                    + " with 'sparrow bundle' without --encode-only",
                            thrown,
                            ExitCode.BAD_INPUT);
                }
                if (cause instanceof OutOfMemoryError) {
                    return fail(
                            "out of memory (" + cause.getMessage()
                                    + "); use a shorter context or smaller budgets, or give the JVM more with"
                                    + " SPARROW_JAVA_OPTS=-Xmx…",
                            thrown,
                            ExitCode.INTERNAL_FAILURE);
                }
            }
            String hint = stackTrace ? "" : " (internal failure; " + STACK_TRACE + " shows where)";
            return fail(
                    thrown.getClass().getSimpleName() + ": " + firstLine(thrown) + hint,
                    thrown,
                    ExitCode.INTERNAL_FAILURE);
        }

        private int fail(String message, Throwable thrown, int code) {
            err.println("sparrow: error: " + message);
            if (stackTrace) {
                thrown.printStackTrace(err);
            }
            return code;
        }

        private static String firstLine(Throwable e) {
            String message = String.valueOf(e.getMessage());
            return message.lines().findFirst().orElse("");
        }
    }
}
