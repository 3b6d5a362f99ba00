/*
 * Folds events into their response. The journal of a running turn, snapshots for late viewers and
 * the sweep of lost turns share this fold, so the output in a terminal event always equals the
 * joined deltas.
 */

import { type ResponseEvent } from './event.js';
import { type ItemStatus, type OutputItem, type TokenLogprob } from './item.js';
import {
  closeParts,
  closeSlot,
  itemOf,
  openPart,
  type OpenPart,
  openSummary,
  type OpenSummary,
  type PartsSlot,
  type Slot,
  slotOf,
} from './open-item.js';
import { outputTextOf, type ResponseObject } from './response.js';

export class ResponseAccumulator {
  #base: ResponseObject;
  readonly #slots: Slot[] = [];

  constructor(base: ResponseObject) {
    this.#base = base;
  }

  /** Applies the next event. Events must come in order, each once. */
  apply(event: ResponseEvent): void {
    switch (event.type) {
      case 'response.output_text.delta':
      case 'response.refusal.delta':
      case 'response.reasoning_text.delta':
        this.#part(event.output_index, event.content_index).text += event.delta;
        return;
      case 'response.reasoning_summary_part.added':
        this.#summaries(event.output_index)[event.summary_index] = openSummary(event.part);
        return;
      case 'response.reasoning_summary_text.delta':
        this.#summary(event.output_index, event.summary_index).text += event.delta;
        return;
      case 'response.reasoning_summary_part.done':
        this.#summary(event.output_index, event.summary_index).open = false;
        return;
      case 'response.function_call_arguments.delta':
        this.#call(event.output_index).args += event.delta;
        return;
      case 'response.created':
      case 'response.queued':
      case 'response.in_progress':
      case 'response.completed':
      case 'response.incomplete':
      case 'response.failed':
        this.#base = event.response;
        return;
      case 'response.output_item.added':
        this.#slots[event.output_index] = slotOf(event.item);
        return;
      case 'response.content_part.added':
        if (this.#slot(event.output_index).kind === 'foreign') return;
        this.#message(event.output_index).parts[event.content_index] = openPart(event.part);
        return;
      case 'response.content_part.done': {
        if (this.#slot(event.output_index).kind === 'foreign') return;
        const part = this.#part(event.output_index, event.content_index);
        part.open = false;
        if (event.part.type === 'output_text') part.logprobs = event.part.logprobs;
        if (part.foreign !== undefined) part.foreign = event.part;
        return;
      }
      case 'response.output_item.done': {
        const slot = this.#slot(event.output_index);
        slot.open = false;
        slot.status = event.item.status;
        if (slot.kind === 'foreign') slot.item = event.item;
        return;
      }
      case 'response.output_text.done':
      case 'response.refusal.done':
      case 'response.reasoning_text.done':
      case 'response.reasoning_summary_text.done':
      case 'response.function_call_arguments.done':
        return;
    }
  }

  /** Sets the log probabilities of a text. @param of returns those of its whole text */
  setLogprobs(outputIndex: number, contentIndex: number, of: (text: string) => readonly TokenLogprob[]): void {
    const part = this.#part(outputIndex, contentIndex);
    part.logprobs = of(part.text);
  }

  /** Returns the partial output, including open items. */
  output(): OutputItem[] {
    return this.#slots.map(itemOf);
  }

  /** Returns the partial response, for GET requests during the turn and for snapshots. */
  response(): ResponseObject {
    const output = this.output();
    return { ...this.#base, output, output_text: outputTextOf(output) };
  }

  /**
   * Returns the events that close the open parts of a message but not the message. Applies nothing.
   */
  closingParts(outputIndex: number): ResponseEvent[] {
    const slot = this.#message(outputIndex);
    return closeParts(slot, outputIndex);
  }

  /**
   * Returns the events that close an item and its open parts, or none if it is closed. Applies
   * nothing.
   */
  closingItem(outputIndex: number, status: ItemStatus): ResponseEvent[] {
    const slot = this.#slot(outputIndex);
    return slot.open ? closeSlot(slot, outputIndex, status) : [];
  }

  /**
   * Returns the events that close all open items with `status`, in OpenAI's order. Applies nothing.
   */
  closing(status: ItemStatus): ResponseEvent[] {
    return this.#slots.flatMap((slot, outputIndex) => (slot.open ? closeSlot(slot, outputIndex, status) : []));
  }

  #slot(index: number): Slot {
    const slot = this.#slots[index];
    if (slot === undefined) throw new Error(`unable to fold an event; output item ${index} was never added`);
    return slot;
  }

  #message(index: number): PartsSlot {
    const slot = this.#slot(index);
    if (slot.kind !== 'message' && slot.kind !== 'reasoning')
      throw new Error(`unable to fold an event; output item ${index} is no message`);
    return slot;
  }

  #call(index: number): Extract<Slot, { kind: 'function_call' }> {
    const slot = this.#slot(index);
    if (slot.kind !== 'function_call')
      throw new Error(`unable to fold an event; output item ${index} is no function call`);
    return slot;
  }

  #summaries(index: number): OpenSummary[] {
    const slot = this.#slot(index);
    if (slot.kind === 'reasoning') return slot.summary;
    throw new Error(`unable to fold an event; output item ${index} is no reasoning`);
  }

  #summary(outputIndex: number, summaryIndex: number): OpenSummary {
    const part = this.#summaries(outputIndex)[summaryIndex];
    if (part === undefined) throw new Error(`unable to fold an event; summary part ${summaryIndex} was never added`);
    return part;
  }

  #part(outputIndex: number, contentIndex: number): OpenPart {
    const part = this.#message(outputIndex).parts[contentIndex];
    if (part === undefined) throw new Error(`unable to fold an event; content part ${contentIndex} was never added`);
    return part;
  }
}
