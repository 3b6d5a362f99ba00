/* Configuration for gateways of tests: an answer that a test holds back is not ended by the gateway's own limits, however long the test takes. */

type Section = Readonly<Record<string, unknown>>;

const PATIENT = { timeout: '1h', first_delta_timeout: '1h', idle_timeout: '1h' };

/** The sections of a configuration file, with patience for the provider where the test does not set its times itself. */
export function patient<T extends Readonly<Record<string, unknown>>>(file: T): T & { readonly provider: Section } {
  // Sections of a configuration file are objects.
  const provider = (file['provider'] ?? {}) as Section;
  return { ...file, provider: { ...provider, config: provider['config'] ?? PATIENT } };
}
