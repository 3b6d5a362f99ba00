/*
 * Takes the value of a variable from the first source that has one: the caller's credential, the
 * gateway's own facts if the pack binds the variable to them, the request, the configuration, the
 * gateway's facts by the variable's name. Decides between sources; checks no value.
 */

/** The gateway's own facts about a turn. */
export interface TurnFacts {
  readonly now: Date;
  /** IANA name of the time zone of dates and times. */
  readonly timeZone: string;
  readonly conversationId: string | null;
  readonly model: string | null;
  readonly tenant: string | null;
  readonly user: string | null;
  /** Attributes of the user, from the credential. */
  readonly attributes?: Readonly<Record<string, unknown>>;
}

export type Values = Readonly<Record<string, unknown>>;

/** A variable's `binding`: the fact from which the gateway takes its value. */
export interface Binding {
  readonly field: string;
  /** Whether a caller may not set the variable. */
  readonly automatic: boolean;
  readonly filter?: 'lowercase' | 'uppercase' | 'trim';
}

export interface ValueSources {
  /** Set by the caller's credential. A request cannot change them. */
  readonly bound?: Values;
  /** `middleware.template.variables` of the configuration. */
  readonly configured?: Values;
  readonly facts?: TurnFacts;
}

/** Kinds of a `binding` that this gateway serves. All of them read the same facts. */
export const BINDING_KINDS: ReadonlySet<string> = new Set(['context', 'session', 'user']);

type Part = Intl.DateTimeFormatPartTypes;

const FACTS: Readonly<Record<string, (facts: TurnFacts) => string | null>> = {
  date: (facts) => dateOf(facts),
  time: (facts) => timeOf(facts),
  datetime: (facts) => `${dateOf(facts)} ${timeOf(facts)}`,
  year: (facts) => part(facts, 'year', { year: 'numeric' }),
  month: (facts) => part(facts, 'month', { month: 'long' }),
  weekday: (facts) => part(facts, 'weekday', { weekday: 'long' }),
  hour: (facts) => part(facts, 'hour', { hour: '2-digit', hourCycle: 'h23' }),
  time_zone: ({ timeZone }) => timeZone,
  timezone: ({ timeZone }) => timeZone,
  conversation_id: ({ conversationId }) => conversationId,
  session_id: ({ conversationId }) => conversationId,
  user_id: ({ user }) => user,
  user: ({ user }) => user,
  tenant: ({ tenant }) => tenant,
  tenant_id: ({ tenant }) => tenant,
  model: ({ model }) => model,
};

/** Names under which a template finds facts without declaring a variable. */
const BUILT_IN: Readonly<Record<string, string>> = {
  current_date: 'date',
  current_time: 'time',
  current_datetime: 'datetime',
  current_year: 'year',
  current_month: 'month',
  current_weekday: 'weekday',
  current_hour: 'hour',
  time_zone: 'time_zone',
  timezone: 'time_zone',
  conversation_id: 'conversation_id',
  user_id: 'user_id',
};

/** Returns the fact of a built-in name, or undefined if `name` is none. */
export function builtInField(name: string): string | undefined {
  return Object.hasOwn(BUILT_IN, name) ? BUILT_IN[name] : undefined;
}

/** Reads one fact, or an attribute of the user. @returns undefined if there is none */
export function factOf(field: string, facts: TurnFacts | undefined): unknown {
  if (facts === undefined) return undefined;
  const read = Object.hasOwn(FACTS, field) ? FACTS[field] : undefined;
  if (read !== undefined) return read(facts) ?? undefined;
  const { attributes } = facts;
  return attributes !== undefined && Object.hasOwn(attributes, field) ? (attributes[field] ?? undefined) : undefined;
}

export function bindingValue({ field, filter }: Binding, facts: TurnFacts | undefined): unknown {
  const value = factOf(field, facts);
  if (typeof value !== 'string') return value;
  if (filter === 'lowercase') return value.toLowerCase();
  if (filter === 'uppercase') return value.toUpperCase();
  return filter === 'trim' ? value.trim() : value;
}

/** Returns a value that is not null, or undefined. Never reads the prototype. */
export function ownValue(values: Values | undefined, name: string): unknown {
  return values !== undefined && Object.hasOwn(values, name) ? (values[name] ?? undefined) : undefined;
}

function dateOf(facts: TurnFacts): string {
  const options = { year: 'numeric', month: '2-digit', day: '2-digit' } as const;
  return (['year', 'month', 'day'] as const).map((type) => part(facts, type, options)).join('-');
}

function timeOf(facts: TurnFacts): string {
  const { timeZone, now } = facts;
  return new Intl.DateTimeFormat('en-GB', { timeZone, timeStyle: 'medium', hourCycle: 'h23' }).format(now);
}

function part(facts: TurnFacts, type: Part, options: Intl.DateTimeFormatOptions): string | null {
  const parts = new Intl.DateTimeFormat('en-US', { timeZone: facts.timeZone, ...options }).formatToParts(facts.now);
  return parts.find((one) => one.type === type)?.value ?? null;
}
