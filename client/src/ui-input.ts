/*
 * The messages of an AI SDK chat as input items of a request, and the parts of one message as
 * chunks that show it again. Knows no socket.
 */

import { type DynamicToolUIPart, type ToolUIPart, type UIMessage, type UIMessageChunk } from 'ai';

type Item = Readonly<Record<string, unknown>>;
type Part = UIMessage['parts'][number];
type ToolPart = ToolUIPart | DynamicToolUIPart;

/** The whole history, for requests without a conversation. */
export function inputOf(messages: readonly UIMessage[]): Item[] {
  return messages.flatMap((message) => (message.role === 'assistant' ? itemsOfAnswer(message) : [itemOf(message)]));
}

/**
 * What the gateway's conversation does not have: the outputs of the last calls, or the user's last
 * messages.
 */
export function newInputOf(messages: readonly UIMessage[]): Item[] {
  const last = messages.at(-1);
  if (last?.role !== 'assistant') {
    return messages.slice(messages.findLastIndex(({ role }) => role === 'assistant') + 1).map(itemOf);
  }
  return last.parts
    .slice(last.parts.findLastIndex(({ type }) => type === 'step-start') + 1)
    .flatMap((part) => (isTool(part) ? outputsOf(part) : []));
}

function itemOf({ role, parts }: UIMessage): Item {
  const content = parts.flatMap((part): Item[] => {
    if (part.type === 'text') return [{ type: 'input_text', text: part.text }];
    if (part.type !== 'file') return [];
    if (part.mediaType.startsWith('image/')) return [{ type: 'input_image', image_url: part.url, detail: 'auto' }];
    const file = part.url.startsWith('data:') ? { file_data: part.url } : { file_url: part.url };
    return [{ type: 'input_file', ...(part.filename !== undefined && { filename: part.filename }), ...file }];
  });
  return { type: 'message', role, content };
}

function itemsOfAnswer({ parts }: UIMessage): Item[] {
  const items: Item[] = [];
  let content: Item[] = [];
  const closeMessage = (): void => {
    if (content.length > 0) items.push({ type: 'message', role: 'assistant', content });
    content = [];
  };
  for (const part of parts) {
    if (part.type === 'step-start') closeMessage();
    else if (part.type === 'text' && part.text !== '') {
      content.push(
        part.providerMetadata?.['sluice']?.['refusal'] === true
          ? { type: 'refusal', refusal: part.text }
          : { type: 'output_text', text: part.text },
      );
    } else if (isTool(part)) {
      // A call that was never answered would make every provider refuse the history.
      const outputs = outputsOf(part);
      if (outputs.length === 0) continue;
      closeMessage();
      const { toolCallId: call_id, callProviderMetadata, input } = part as ToolPart & { readonly input: unknown };
      const kept = callProviderMetadata?.['sluice']?.['extra_content'];
      const called = { type: 'function_call', call_id, name: nameOf(part), arguments: JSON.stringify(input ?? {}) };
      items.push({ ...called, ...(kept !== undefined && { extra_content: kept }) }, ...outputs);
    }
  }
  closeMessage();
  return items;
}

function outputsOf(part: ToolPart): Item[] {
  const item = (output: string): Item[] => [{ type: 'function_call_output', call_id: part.toolCallId, output }];
  if (part.state === 'output-available') {
    return item(typeof part.output === 'string' ? part.output : (JSON.stringify(part.output) ?? ''));
  }
  if (part.state === 'output-error') return item(part.errorText);
  return part.state === 'output-denied' ? item('The user has denied this call.') : [];
}

/**
 * The chunks that show a message again, before its next step. Finished calls come without
 * `tool-input-available`, which would run the application's tools again.
 */
export function chunksOf(message: UIMessage): UIMessageChunk[] {
  return message.parts.flatMap((part, index): UIMessageChunk[] => {
    const id = `before${index}`;
    if (part.type === 'step-start') return [{ type: 'start-step' }];
    if (part.type === 'text' || part.type === 'reasoning') {
      const { type, text: delta, providerMetadata } = part;
      return [
        { type: `${type}-start`, id, ...(providerMetadata !== undefined && { providerMetadata }) },
        { type: `${type}-delta`, id, delta },
        { type: `${type}-end`, id },
      ];
    }
    return isTool(part) ? chunksOfCall(part) : [];
  });
}

function chunksOfCall(part: ToolPart): UIMessageChunk[] {
  const { toolCallId, callProviderMetadata: providerMetadata } = part;
  const inputTextDelta = JSON.stringify((part as { readonly input?: unknown }).input ?? {});
  const dynamic = part.type === 'dynamic-tool';
  const shown: UIMessageChunk[] = [
    {
      ...{ type: 'tool-input-start', toolCallId, toolName: nameOf(part), dynamic },
      ...(providerMetadata !== undefined && { providerMetadata }),
    },
    { type: 'tool-input-delta', toolCallId, inputTextDelta },
  ];
  if (part.state === 'output-available') {
    shown.push({ type: 'tool-output-available', toolCallId, output: part.output, dynamic });
  } else if (part.state === 'output-error') {
    shown.push({ type: 'tool-output-error', toolCallId, errorText: part.errorText, dynamic });
  } else if (part.state === 'output-denied') shown.push({ type: 'tool-output-denied', toolCallId });
  return shown;
}

function isTool(part: Part): part is ToolPart {
  return part.type === 'dynamic-tool' || part.type.startsWith('tool-');
}

function nameOf(part: ToolPart): string {
  return part.type === 'dynamic-tool' ? part.toolName : part.type.slice('tool-'.length);
}
