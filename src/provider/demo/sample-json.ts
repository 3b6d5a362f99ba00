/* Returns a small value that a common JSON Schema accepts. Deterministic. Knows no provider. */

/**
 * Returns a sample for `schema`: the first value of an `enum`, a `const`, a `default`, else a plain
 * value of its type. An object gets all declared properties. Other keywords (patterns, bounds,
 * references) are ignored.
 * @param depth levels above this schema
 */
export function sampleOf(schema: unknown, depth = 0): unknown {
  if (!isRecord(schema) || depth > 8) return {};
  if ('const' in schema) return schema['const'];
  if (Array.isArray(schema['enum'])) return schema['enum'][0] as unknown;
  if ('default' in schema) return schema['default'];
  const type: unknown = Array.isArray(schema['type']) ? schema['type'][0] : schema['type'];
  switch (type) {
    case 'string':
      return 'demo';
    case 'number':
    case 'integer':
      return 1;
    case 'boolean':
      return true;
    case 'null':
      return null;
    case 'array':
      return [sampleOf(schema['items'], depth + 1)];
    default: {
      const properties = isRecord(schema['properties']) ? schema['properties'] : {};
      return Object.fromEntries(Object.entries(properties).map(([key, inner]) => [key, sampleOf(inner, depth + 1)]));
    }
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
