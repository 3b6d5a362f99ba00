// The official client for Go, unmodified and in its default settings, against a running gateway.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/conversations"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
)

const model = "gpt-5.1"

var (
	ctx    = context.Background()
	client = openai.NewClient(option.WithBaseURL(os.Getenv("SLUICE_URL")+"/v1"), option.WithAPIKey("sk-test"))
	tool   = responses.ToolUnionParam{OfFunction: &responses.FunctionToolParam{
		Name:       "get_weather",
		Parameters: map[string]any{"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}},
	}}
)

func main() {
	failed := false
	check := func(name string, run func() error) {
		if err := run(); err != nil {
			failed = true
			fmt.Printf("not ok %s: %v\n", name, err)
			return
		}
		fmt.Printf("ok %s\n", name)
	}
	check("create", create)
	check("stream", stream)
	check("tools", tools)
	check("conversations", inConversations)
	check("cancel and resume", cancelAndResume)
	check("errors", failures)
	check("retries", retries)
	check("chat completions", chat)
	if failed {
		os.Exit(1)
	}
}

func ask(input string) responses.ResponseNewParams {
	return responses.ResponseNewParams{
		Model: model,
		Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(input)},
	}
}

func expect[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s: %v, not %v", what, got, want)
	}
	return nil
}

func create() error {
	response, err := client.Responses.New(ctx, ask("Hello"))
	if err != nil {
		return err
	}
	if response.Status != responses.ResponseStatusCompleted || response.Usage.OutputTokens != 34 {
		return fmt.Errorf("status %s, %d tokens", response.Status, response.Usage.OutputTokens)
	}
	again, err := client.Responses.Get(ctx, response.ID, responses.ResponseGetParams{})
	if err != nil {
		return err
	}
	return errors.Join(
		expect("text", response.OutputText(), "You said Hello"),
		expect("text again", again.OutputText(), "You said Hello"),
	)
}

func stream() error {
	events := client.Responses.NewStreaming(ctx, ask("Hello"))
	text, last, count := "", "", int64(0)
	for events.Next() {
		event := events.Current()
		if event.SequenceNumber != count {
			return fmt.Errorf("event %d is number %d", count, event.SequenceNumber)
		}
		count++
		last = event.Type
		if event.Type == "response.output_text.delta" {
			text += event.AsResponseOutputTextDelta().Delta
		}
	}
	return errors.Join(events.Err(), expect("text", text, "You said Hello"), expect("end", last, "response.completed"))
}

func tools() error {
	params := ask("weather in Paris")
	params.Tools = []responses.ToolUnionParam{tool}
	response, err := client.Responses.New(ctx, params)
	if err != nil {
		return err
	}
	var called *responses.ResponseFunctionToolCall
	for _, item := range response.Output {
		if item.Type == "function_call" {
			call := item.AsFunctionCall()
			called = &call
		}
	}
	if called == nil {
		return errors.New("no call")
	}
	var arguments struct{ City string }
	if err := json.Unmarshal([]byte(called.Arguments), &arguments); err != nil {
		return err
	}
	answer, err := client.Responses.New(ctx, responses.ResponseNewParams{
		Model:              model,
		PreviousResponseID: openai.String(response.ID),
		Tools:              params.Tools,
		Input: responses.ResponseNewParamsInputUnion{OfInputItemList: []responses.ResponseInputItemUnionParam{{
			OfFunctionCallOutput: &responses.ResponseInputItemFunctionCallOutputParam{
				CallID: openai.String(called.CallID),
				Output: responses.ResponseInputItemFunctionCallOutputOutputUnionParam{
					OfString: openai.String("sunny in " + arguments.City),
				},
			},
		}}},
	})
	if err != nil {
		return err
	}
	return expect("text", answer.OutputText(), "It is sunny in Paris")
}

func inConversations() error {
	conversation, err := client.Conversations.New(ctx, conversations.ConversationNewParams{})
	if err != nil {
		return err
	}
	for _, text := range []string{"one", "two"} {
		params := ask(text)
		params.Conversation = responses.ResponseNewParamsConversationUnion{OfString: openai.String(conversation.ID)}
		if _, err := client.Responses.New(ctx, params); err != nil {
			return err
		}
	}
	count := 0
	items := client.Conversations.Items.ListAutoPaging(ctx, conversation.ID, conversations.ItemListParams{Limit: openai.Int(3)})
	for items.Next() {
		count++
	}
	deleted, err := client.Conversations.Delete(ctx, conversation.ID)
	if err != nil {
		return err
	}
	return errors.Join(items.Err(), expect("items", count, 4), expect("deleted", deleted.Deleted, true))
}

func cancelAndResume() error {
	events := client.Responses.NewStreaming(ctx, ask("hang"))
	id, last := "", int64(-1)
	for events.Next() {
		event := events.Current()
		last = event.SequenceNumber
		if event.Type == "response.created" {
			id = event.AsResponseCreated().Response.ID
		}
		if event.Type == "response.output_text.delta" {
			break
		}
	}
	if err := errors.Join(events.Err(), events.Close()); err != nil {
		return err
	}
	cancelled, err := client.Responses.Cancel(ctx, id)
	if err != nil {
		return err
	}
	rest := client.Responses.GetStreaming(ctx, id, responses.ResponseGetParams{StartingAfter: openai.Int(last)})
	first, end := int64(-1), ""
	for rest.Next() {
		event := rest.Current()
		if first < 0 {
			first = event.SequenceNumber
		}
		end = event.Type
	}
	return errors.Join(
		rest.Err(),
		expect("status", cancelled.Status, responses.ResponseStatusCancelled),
		expect("first", first, last+1),
		expect("end", end, "response.incomplete"),
	)
}

func failures() error {
	_, unknown := client.Responses.Get(ctx, "resp_0123456789", responses.ResponseGetParams{})
	params := ask("x")
	params.Temperature = openai.Float(9)
	_, wrong := client.Responses.New(ctx, params)
	// The failed turn is an error, not an empty answer, and the client does not repeat it.
	_, failed := client.Responses.New(ctx, ask("fail"))
	for _, each := range []struct {
		err         error
		status      int
		code, param string
	}{
		{unknown, 404, "response_not_found", "response_id"},
		{wrong, 400, "invalid_value", "temperature"},
		{failed, 502, "server_error", ""},
	} {
		var refused *openai.Error
		if !errors.As(each.err, &refused) {
			return fmt.Errorf("no error of the API: %v", each.err)
		}
		if err := errors.Join(
			expect("status", refused.StatusCode, each.status),
			expect("code", refused.Code, each.code),
			expect("param", refused.Param, each.param),
		); err != nil {
			return err
		}
	}
	return nil
}

// The gateway runs two turns at a time: a third is repeated by the client until there is room.
func retries() error {
	var running []string
	for range 2 {
		params := ask("hang")
		params.Background = openai.Bool(true)
		response, err := client.Responses.New(ctx, params)
		if err != nil {
			return err
		}
		running = append(running, response.ID)
	}
	done := make(chan error)
	go func() {
		time.Sleep(200 * time.Millisecond)
		var problems error
		for _, id := range running {
			_, err := client.Responses.Cancel(ctx, id)
			problems = errors.Join(problems, err)
		}
		done <- problems
	}()
	response, err := client.Responses.New(ctx, ask("Hello"))
	if err := errors.Join(err, <-done); err != nil {
		return err
	}
	return expect("text", response.OutputText(), "You said Hello")
}

func chat() error {
	params := openai.ChatCompletionNewParams{
		Model:    model,
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Hello")},
	}
	answer, err := client.Chat.Completions.New(ctx, params)
	if err != nil {
		return err
	}
	pieces := client.Chat.Completions.NewStreaming(ctx, params)
	whole := openai.ChatCompletionAccumulator{}
	for pieces.Next() {
		whole.AddChunk(pieces.Current())
	}
	if err := pieces.Err(); err != nil {
		return err
	}
	return errors.Join(
		expect("text", answer.Choices[0].Message.Content, "You said Hello"),
		expect("streamed", whole.Choices[0].Message.Content, "You said Hello"),
	)
}
