/* Items and responses as bytes: counted exactly, and nothing that a garbage collector walks over. */

import { type StoredItem } from '../../domain/item.js';
import { type StoredResponse } from '../../domain/response.js';

/** A value as bytes of its own: a slice of Node's shared pool would keep the whole pool from being freed. */
export function packed(value: StoredItem | StoredResponse): Buffer {
  const json = JSON.stringify(value);
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(json));
  bytes.write(json);
  return bytes;
}
