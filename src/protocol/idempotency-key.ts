/* The key by which a client may send the same request again and get the same response. */

import { z } from 'zod';

export const IDEMPOTENCY_KEY = z
  .string()
  .regex(/^[\x21-\x7e]{1,255}$/u, 'must be 1 to 255 printable ASCII characters without spaces');
