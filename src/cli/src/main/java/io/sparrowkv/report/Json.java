package io.sparrowkv.report;

import com.fasterxml.jackson.annotation.JsonInclude;
import java.io.PrintWriter;
import tools.jackson.databind.SerializationFeature;
import tools.jackson.databind.json.JsonMapper;

/** Results as JSON documents: components of records in their order, absent values left out. */
public final class Json {
    private static final JsonMapper MAPPER = JsonMapper.builder()
            .enable(SerializationFeature.INDENT_OUTPUT)
            .changeDefaultPropertyInclusion(value -> value.withValueInclusion(JsonInclude.Include.NON_ABSENT))
            .build();

    private Json() {}

    /** Writes {@code document} and a closing newline. */
    public static void write(PrintWriter out, Object document) {
        out.println(text(document));
        out.flush();
    }

    /** The indented JSON text of {@code document}. */
    public static String text(Object document) {
        return MAPPER.writeValueAsString(document);
    }
}
