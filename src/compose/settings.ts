/*
 * Maps sections of the configuration file to the settings of the parts, with units in their names.
 */

import { getHeapStatistics } from 'node:v8';
import { type AppConfig } from '../config/schema.js';
import { type SocketSettings } from '../gateway/settings.js';
import { type AdmissionPolicy } from '../turn/admission.js';
import { type MediaPolicy } from '../turn/media-check.js';
import { type ShadowPolicy } from '../turn/shadow-runs.js';
import { type LimitClasses, type LimitSettings } from '../turn/turn-limits.js';
import { roomWithin } from '../turn/turn-room.js';

export function roomOptions({ limits }: AppConfig): { readonly turns: number; readonly bytes: number } {
  const byDefault = roomWithin(getHeapStatistics().heap_size_limit);
  return { turns: limits.turns ?? byDefault.turns, bytes: limits.turn_bytes ?? byDefault.bytes };
}

export function admissionPolicy(config: AppConfig): AdmissionPolicy {
  const { model, config: call } = config.provider;
  return {
    model,
    models: config.clients.models,
    allow: config.clients.allow,
    maxTokens: call.max_tokens,
    temperature: call.temperature,
    stateEnabled: config.middleware.state.enabled,
    maxItemBytes: config.state.max_bytes,
    templateEnabled: config.middleware.template.enabled,
    defaultPrompt: config.middleware.template.default,
    promptVariables: config.middleware.template.variables,
    timeZone: config.middleware.template.time_zone,
    canary: config.middleware.template.canary,
  };
}

/** Returns the candidate versions of prompts, by prompt. */
export function shadowPolicies({ middleware }: AppConfig): Readonly<Record<string, ShadowPolicy>> {
  return Object.fromEntries(
    Object.entries(middleware.template.shadow).map(([id, own]) => [
      id,
      {
        version: own.version,
        sample: own.sample,
        maxPerHour: own.max_per_hour,
        costPerHourUsd: own.cost_per_hour_usd,
      },
    ]),
  );
}

export function mediaPolicy(config: AppConfig, takes: MediaPolicy['takes']): MediaPolicy {
  const { parts, bytes, pixels, file_types } = config.limits.media;
  const models = [config.provider.model, ...config.clients.models];
  return { allow: config.clients.allow.images, parts, bytes, pixels, fileTypes: file_types, takes, models };
}

export function limitSettings({ limits: { per_user: limits } }: AppConfig): LimitSettings {
  return {
    requestsPerMinute: limits.requests_per_minute,
    tokensPerMinute: limits.tokens_per_minute,
    concurrentTurns: limits.concurrent_turns,
    costPerDayUsd: limits.cost_per_day_usd,
  };
}

/** Returns the limits of each class. A key that a class leaves out is that of `limits.per_user`. */
export function limitClasses(config: AppConfig): LimitClasses {
  const usual = limitSettings(config);
  return Object.fromEntries(
    Object.entries(config.limits.classes).map(([name, own]) => [
      name,
      {
        requestsPerMinute: own.requests_per_minute ?? usual.requestsPerMinute,
        tokensPerMinute: own.tokens_per_minute ?? usual.tokensPerMinute,
        concurrentTurns: own.concurrent_turns ?? usual.concurrentTurns,
        costPerDayUsd: own.cost_per_day_usd ?? usual.costPerDayUsd,
      },
    ]),
  );
}

/** Operations a minute of the classes that have a limit of their own. */
export function operationsOfClasses({ limits }: AppConfig): Readonly<Record<string, number>> {
  return Object.fromEntries(
    Object.entries(limits.classes).flatMap(([name, { operations_per_minute: own }]) =>
      own === null ? [] : [[name, own]],
    ),
  );
}

export function socketSettings(config: AppConfig): SocketSettings {
  const { websocket, limits } = config;
  return {
    heartbeatIntervalMs: websocket.heartbeat_interval,
    heartbeatTimeoutMs: websocket.heartbeat_timeout,
    maxMessageBytes: websocket.max_message_bytes,
    maxResponsesInFlight: websocket.max_responses_in_flight,
    maxOperationsInFlight: websocket.max_operations_in_flight,
    maxLanes: websocket.max_lanes,
    outboundBufferBytes: websocket.outbound_buffer_bytes,
    slowReaderTimeoutMs: websocket.slow_reader_timeout,
    maxConnectionAgeMs: websocket.max_connection_age,
    maxConnections: limits.connections,
  };
}
