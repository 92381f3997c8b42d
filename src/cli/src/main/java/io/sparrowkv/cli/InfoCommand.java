package io.sparrowkv.cli;

import io.sparrowkv.cli.InfoReport.DictionariesInfo;
import io.sparrowkv.cli.InfoReport.EncoderInfo;
import io.sparrowkv.cli.InfoReport.ModelInfo;
import io.sparrowkv.cli.InfoReport.State;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.EncoderProvider;
import io.sparrowkv.encode.EncoderUnavailableException;
import io.sparrowkv.encode.Encoders;
import io.sparrowkv.llm.model.ModelDescription;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Shows what there is to work with: machine, encoders, model, dictionaries. */
@Command(
        name = "info",
        description = "Show the machine, the encoders, and a model with its dictionaries.",
        sortOptions = false)
final class InfoCommand implements Runnable {
    @Parameters(
            index = "0",
            arity = "0..1",
            paramLabel = "MODEL",
            description = "Hugging Face folder of the model (default: the bundled one).")
    private Optional<Path> model = Optional.empty();

    @Option(
            names = "--dictionaries",
            paramLabel = "DIR",
            description = "Dictionaries (default: the folder 'dictionaries' in the model's).")
    private Optional<Path> dictionaries = Optional.empty();

    @Mixin
    private ThreadArguments threads;

    @Mixin
    private OutputArguments output;

    @Override
    public void run() {
        Optional<Path> folder = model.or(Home::bundledModel);
        Optional<ModelInfo> found = folder.map(path -> ModelInfo.of(path, ModelDescription.read(path)));
        Optional<DictionariesInfo> set = dictionaries
                .or(() -> folder.map(path -> path.resolve(DictionaryArguments.FOLDER))
                        .filter(Files::isDirectory))
                .map(DictionariesInfo::read);
        output.emit(new InfoReport("info", Version.number(), Machine.probe(), encoders(), found, set));
    }

    private List<EncoderInfo> encoders() {
        List<EncoderInfo> found = new ArrayList<>();
        boolean autoTaken = false;
        for (EncoderProvider provider : Encoders.providers()) {
            Optional<String> reason = provider.unavailable();
            boolean auto =
                    reason.isEmpty() && !autoTaken && provider.unsuitedForAuto().isEmpty();
            if (reason.isEmpty()) {
                try (EncoderBackend backend = provider.start(threads.count())) {
                    found.add(new EncoderInfo(
                            provider.name(), auto ? State.AUTO : State.AVAILABLE, backend.description()));
                    autoTaken |= auto;
                    continue;
                } catch (EncoderUnavailableException e) {
                    reason = Optional.of(e.getMessage());
                }
            }
            found.add(new EncoderInfo(provider.name(), State.MISSING, reason.get()));
        }
        // Starting TornadoVM takes seconds: the launcher does so for commands that encode, and only tells this one
        // where it is.
        String tornadovm = System.getProperty(Home.TORNADOVM, "");
        if (!tornadovm.isEmpty()
                && found.stream().noneMatch(encoder -> encoder.name().equals("tornado"))) {
            found.addFirst(new EncoderInfo(
                    "tornado",
                    State.UNTESTED,
                    "TornadoVM in " + tornadovm + "; 'sparrow devices' tests and measures its devices"));
        }
        return found;
    }
}
