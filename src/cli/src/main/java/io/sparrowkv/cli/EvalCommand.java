package io.sparrowkv.cli;

import picocli.CommandLine.Command;

/** Groups the evaluations of what a sparse cache costs in fidelity. */
@Command(
        name = "eval",
        description = "Measure on a text what the sparse cache costs in fidelity and saves in memory.",
        synopsisSubcommandLabel = "COMMAND",
        subcommands = {EvalPplCommand.class, EvalSitesCommand.class})
final class EvalCommand {}
