/*
 * Items and responses as bytes: their size is known exactly, and the garbage collector does not
 * traverse them.
 */

import { type StoredItem } from '../../domain/item.js';
import { type StoredResponse } from '../../domain/response.js';

/**
 * Serializes a value into its own allocation: a slice of Node's shared pool would keep the whole
 * pool from being freed.
 */
export function packed(value: StoredItem | StoredResponse): Buffer {
  const json = JSON.stringify(value);
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(json));
  bytes.write(json);
  return bytes;
}
