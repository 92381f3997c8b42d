package io.sparrowkv.attention;

import io.sparrowkv.io.InvalidInputException;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.ServiceLoader;
import java.util.stream.Collectors;

/** Opens readers of codes by name. */
public final class CodeReaders {
    private CodeReaders() {}

    /** All providers, by name. */
    public static List<CodeReaderProvider> providers() {
        return ServiceLoader.load(CodeReaderProvider.class, CodeReaders.class.getClassLoader()).stream()
                .map(ServiceLoader.Provider::get)
                .sorted(Comparator.comparing(CodeReaderProvider::name))
                .toList();
    }

    /**
     * Opens a reader; it works on its device, or it is refused: nothing else reads in its place.
     *
     * @param name a provider's name, alone or with one of its devices, as an encoder's: {@code tornado:opencl:0}
     * @throws InvalidInputException when no provider has that name, or it cannot read here
     */
    public static CodeReader open(String name, CodedLayer layer) {
        int colon = name.indexOf(':');
        return require(name).open(colon < 0 ? "" : name.substring(colon + 1), layer);
    }

    /**
     * The provider of a name as {@link #open} takes it, ready to open.
     *
     * @throws InvalidInputException when no provider has that name, or it cannot read here
     */
    public static CodeReaderProvider require(String name) {
        int colon = name.indexOf(':');
        String wanted = colon < 0 ? name : name.substring(0, colon);
        for (CodeReaderProvider provider : providers()) {
            if (wanted.equals(provider.name())) {
                Optional<String> reason = provider.unavailable();
                if (reason.isPresent()) {
                    throw new InvalidInputException(name + " cannot read codes: " + reason.get());
                }
                return provider;
            }
        }
        String names = providers().stream().map(CodeReaderProvider::name).collect(Collectors.joining(", "));
        throw new InvalidInputException(name + " cannot read codes; "
                + (names.isEmpty()
                        ? "nothing here can: docs/tornadovm.md tells how to install it"
                        : "choose " + names));
    }
}
