package io.sparrowkv.tornado;

import io.sparrowkv.attention.CodeReader;
import io.sparrowkv.attention.CodeReaderProvider;
import io.sparrowkv.attention.CodedLayer;
import io.sparrowkv.io.InvalidInputException;
import java.util.Optional;

/**
 * Reads codes on the devices that TornadoVM reaches, by the names of {@link TornadoEncoderProvider}. Each opening tests the device
 * itself first.
 */
public final class TornadoReaderProvider implements CodeReaderProvider {
    private final TornadoEncoderProvider encoders = new TornadoEncoderProvider();

    @Override
    public String name() {
        return TornadoEncoderProvider.NAME;
    }

    @Override
    public Optional<String> unavailable() {
        return encoders.unavailable();
    }

    @Override
    public CodeReader open(String device, CodedLayer layer) {
        Device chosen = Device.choose(device);
        chosen.unfit().ifPresent(reason -> {
            throw new InvalidInputException(chosen.encoder() + ": " + reason);
        });
        String wrong;
        try {
            Optional<String> found = ReaderSelfTest.run(small -> new TornadoCodeReader(chosen, small));
            if (found.isEmpty()) {
                return new TornadoCodeReader(chosen, layer);
            }
            wrong = found.get();
        } catch (DeviceFailedException e) {
            wrong = DeviceFailedException.line(e);
        }
        throw new InvalidInputException(
                "%s does not read codes as it should (%s); update its driver".formatted(chosen.encoder(), wrong));
    }
}
