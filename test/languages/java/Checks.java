/* The official client for Java, unmodified and in its default settings, against a running gateway. */

import com.openai.client.OpenAIClient;
import com.openai.client.okhttp.OpenAIOkHttpClient;
import com.openai.core.JsonValue;
import com.openai.core.http.StreamResponse;
import com.openai.errors.OpenAIServiceException;
import com.openai.helpers.ResponseAccumulator;
import com.openai.models.chat.completions.ChatCompletionCreateParams;
import com.openai.models.responses.FunctionTool;
import com.openai.models.responses.Response;
import com.openai.models.responses.ResponseCreateParams;
import com.openai.models.responses.ResponseFunctionToolCall;
import com.openai.models.responses.ResponseInputItem;
import com.openai.models.responses.ResponseRetrieveParams;
import com.openai.models.responses.ResponseStatus;
import com.openai.models.responses.ResponseStreamEvent;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Collectors;

public final class Checks {
    private static final String MODEL = "gpt-5.1";
    private static final OpenAIClient CLIENT = OpenAIOkHttpClient.builder()
            .baseUrl(System.getenv("SLUICE_URL") + "/v1")
            .apiKey("sk-test")
            .build();
    private static boolean failed = false;

    /** What the structured answer has. */
    public static class Weather {
        public String city;
        public int degrees;
    }

    private interface Check {
        void run() throws Exception;
    }

    public static void main(String[] arguments) {
        check("create", Checks::create);
        check("stream", Checks::stream);
        check("structured output", Checks::structuredOutput);
        check("tools", Checks::tools);
        check("conversations", Checks::conversations);
        check("cancel and resume", Checks::cancelAndResume);
        check("errors", Checks::errors);
        check("retries", Checks::retries);
        check("async", Checks::async);
        check("chat completions", Checks::chatCompletions);
        // Its threads stay open for a minute otherwise.
        System.exit(failed ? 1 : 0);
    }

    private static void check(String name, Check check) {
        try {
            check.run();
            System.out.println("ok " + name);
        } catch (Exception | AssertionError error) {
            failed = true;
            System.out.println("not ok " + name + ": " + error);
        }
    }

    private static void expect(String what, Object got, Object wanted) {
        if (!Objects.equals(got, wanted)) throw new AssertionError(what + ": " + got + ", not " + wanted);
    }

    private static ResponseCreateParams.Builder ask(String text) {
        return ResponseCreateParams.builder().model(MODEL).input(text);
    }

    private static String textOf(Response response) {
        return response.output().stream()
                .flatMap(item -> item.message().stream())
                .flatMap(message -> message.content().stream())
                .flatMap(content -> content.outputText().stream())
                .map(text -> text.text())
                .collect(Collectors.joining());
    }

    private static void create() {
        Response response = CLIENT.responses().create(ask("Hello").build());
        expect("text", textOf(response), "You said Hello");
        expect("status", response.status().orElseThrow(), ResponseStatus.COMPLETED);
        expect("tokens", response.usage().orElseThrow().outputTokens(), 34L);
        expect("again", textOf(CLIENT.responses().retrieve(response.id())), "You said Hello");
        // Every field of the answer has the type that the client expects.
        response.validate();
    }

    private static void stream() {
        ResponseAccumulator whole = ResponseAccumulator.create();
        StringBuilder text = new StringBuilder();
        try (StreamResponse<ResponseStreamEvent> events = CLIENT.responses().createStreaming(ask("Hello").build())) {
            events.stream().peek(whole::accumulate).forEach(event ->
                    event.outputTextDelta().ifPresent(delta -> text.append(delta.delta())));
        }
        expect("text", text.toString(), "You said Hello");
        expect("final text", textOf(whole.response()), "You said Hello");
    }

    private static void structuredOutput() {
        var response = CLIENT.responses().create(ask("json").text(Weather.class).build());
        Weather weather = response.output().stream()
                .flatMap(item -> item.message().stream())
                .flatMap(message -> message.content().stream())
                .flatMap(content -> content.outputText().stream())
                .findFirst()
                .orElseThrow();
        expect("city", weather.city, "Bern");
        expect("degrees", weather.degrees, 7);
    }

    private static void tools() {
        FunctionTool tool = FunctionTool.builder()
                .name("get_weather")
                .parameters(FunctionTool.Parameters.builder()
                        .putAdditionalProperty("type", JsonValue.from("object"))
                        .putAdditionalProperty(
                                "properties", JsonValue.from(Map.of("city", Map.of("type", "string"))))
                        .build())
                .strict(false)
                .build();
        Response response = CLIENT.responses().create(ask("weather in Paris").addTool(tool).build());
        ResponseFunctionToolCall call = response.output().stream()
                .flatMap(item -> item.functionCall().stream())
                .findFirst()
                .orElseThrow();
        expect("arguments", call.arguments(), "{\"city\":\"Paris\"}");
        Response answer = CLIENT.responses().create(ResponseCreateParams.builder()
                .model(MODEL)
                .previousResponseId(response.id())
                .addTool(tool)
                .inputOfResponse(List.of(ResponseInputItem.ofFunctionCallOutput(
                        ResponseInputItem.FunctionCallOutput.builder()
                                .callId(call.callId())
                                .output("sunny in Paris")
                                .build())))
                .build());
        expect("text", textOf(answer), "It is sunny in Paris");
    }

    private static void conversations() {
        String id = CLIENT.conversations().create().id();
        for (String text : List.of("one", "two")) CLIENT.responses().create(ask(text).conversation(id).build());
        long items = CLIENT.conversations().items().list(id).autoPager().stream().count();
        expect("items", items, 4L);
        expect("deleted", CLIENT.conversations().delete(id).deleted(), true);
    }

    private static void cancelAndResume() {
        String id = null;
        long last = -1;
        try (StreamResponse<ResponseStreamEvent> events = CLIENT.responses().createStreaming(ask("hang").build())) {
            for (var iterator = events.stream().iterator(); iterator.hasNext(); ) {
                ResponseStreamEvent event = iterator.next();
                if (event.isCreated()) id = event.asCreated().response().id();
                if (!event.isOutputTextDelta()) continue;
                last = event.asOutputTextDelta().sequenceNumber();
                break;
            }
        }
        Response cancelled = CLIENT.responses().cancel(id);
        expect("status", cancelled.status().orElseThrow(), ResponseStatus.CANCELLED);
        ResponseRetrieveParams after = ResponseRetrieveParams.builder().startingAfter(last).build();
        try (StreamResponse<ResponseStreamEvent> events = CLIENT.responses().retrieveStreaming(id, after)) {
            List<ResponseStreamEvent> rest = events.stream().collect(Collectors.toList());
            // The next delta, or the end of the text if the gateway joined both deltas.
            ResponseStreamEvent first = rest.get(0);
            long next = first.outputTextDelta()
                    .map(delta -> delta.sequenceNumber())
                    .orElseGet(() -> first.asOutputTextDone().sequenceNumber());
            expect("next", next, last + 1);
            expect("end", rest.get(rest.size() - 1).isIncomplete(), true);
        }
    }

    private static OpenAIServiceException failure(Check request) throws Exception {
        try {
            request.run();
        } catch (OpenAIServiceException error) {
            return error;
        }
        throw new AssertionError("it did not fail");
    }

    private static void errors() throws Exception {
        OpenAIServiceException unknown = failure(() -> CLIENT.responses().retrieve("resp_0123456789"));
        expect("status", unknown.statusCode(), 404);
        expect("code", unknown.code().orElse(""), "response_not_found");
        OpenAIServiceException wrong = failure(() -> CLIENT.responses().create(ask("x").temperature(9).build()));
        expect("status", wrong.statusCode(), 400);
        expect("param", wrong.param().orElse(""), "temperature");
        // The failed turn is an error, not an empty answer, and the client does not repeat it.
        OpenAIServiceException turn = failure(() -> CLIENT.responses().create(ask("fail").build()));
        expect("status", turn.statusCode(), 502);
        expect("code", turn.code().orElse(""), "server_error");
    }

    /** The gateway runs two turns at a time: a third is repeated by the client until there is room. */
    private static void retries() throws Exception {
        List<String> running = new ArrayList<>();
        for (int i = 0; i < 2; i++) running.add(CLIENT.responses().create(ask("hang").background(true).build()).id());
        CompletableFuture<Void> room = CompletableFuture.runAsync(() -> {
            try {
                Thread.sleep(200);
            } catch (InterruptedException error) {
                throw new IllegalStateException(error);
            }
            running.forEach(id -> CLIENT.responses().cancel(id));
        });
        expect("text", textOf(CLIENT.responses().create(ask("Hello").build())), "You said Hello");
        room.get();
    }

    private static void async() throws Exception {
        Response response = CLIENT.async().responses().create(ask("Hello").build()).get();
        expect("text", textOf(response), "You said Hello");
        StringBuilder text = new StringBuilder();
        CLIENT.async().responses().createStreaming(ask("Hello").build())
                .subscribe(event -> event.outputTextDelta().ifPresent(delta -> text.append(delta.delta())))
                .onCompleteFuture()
                .get();
        expect("streamed", text.toString(), "You said Hello");
    }

    private static void chatCompletions() {
        ChatCompletionCreateParams params =
                ChatCompletionCreateParams.builder().model(MODEL).addUserMessage("Hello").build();
        var answer = CLIENT.chat().completions().create(params);
        expect("text", answer.choices().get(0).message().content().orElse(""), "You said Hello");
        StringBuilder text = new StringBuilder();
        try (var pieces = CLIENT.chat().completions().createStreaming(params)) {
            pieces.stream().flatMap(piece -> piece.choices().stream())
                    .forEach(choice -> choice.delta().content().ifPresent(text::append));
        }
        expect("streamed", text.toString(), "You said Hello");
    }
}
