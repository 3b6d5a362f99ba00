/*
 * Provider configuration without time limits in practice: the gateway does not abort an answer that
 * a test holds back.
 */

type Section = Readonly<Record<string, unknown>>;

const PATIENT = { timeout: '1h', first_delta_timeout: '1h', idle_timeout: '1h' };

/** @returns `file` with provider timeouts of one hour, unless it sets its own */
export function patient<T extends Readonly<Record<string, unknown>>>(file: T): T & { readonly provider: Section } {
  // Sections of a configuration file are objects.
  const provider = (file['provider'] ?? {}) as Section;
  return { ...file, provider: { ...provider, config: provider['config'] ?? PATIENT } };
}
