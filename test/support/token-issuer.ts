/*
 * A fake issuer of users' tokens: signs JWTs, and publishes its keys at a JWKS URL that can fail.
 */

import { createServer, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, exportSPKI, generateKeyPair, type JWK, SignJWT } from 'jose';

export const ISSUER = 'https://login.example.com/';
export const AUDIENCE = 'chat.example.com';

interface IssuedKey {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
  readonly pem: string;
}

export class TokenIssuer {
  /** Keys that the JWKS URL answers with. */
  published: JWK[] = [];
  /** Fetches so far. */
  fetches = 0;
  /** Status of the answer; null cuts the connection. */
  status: number | null = 200;

  private constructor(readonly server: Server) {}

  static async start(): Promise<TokenIssuer> {
    const server = createServer();
    const issuer = new TokenIssuer(server);
    server.on('request', (_request, response) => {
      issuer.fetches += 1;
      if (issuer.status === null) return void response.destroy();
      response.writeHead(issuer.status, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ keys: issuer.published }));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return issuer;
  }

  get jwksUrl(): string {
    // A TCP listener's address is always this.
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/jwks.json`;
  }

  async key(kid: string, alg = 'ES256'): Promise<IssuedKey> {
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
    const jwk = { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' };
    return { kid, alg, privateKey, jwk, pem: await exportSPKI(publicKey) };
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/** A token that is valid for an hour unless `claims` say otherwise; undefined removes a claim. */
export async function signed(
  key: IssuedKey,
  claims: Record<string, unknown> = {},
  header: object = {},
): Promise<string> {
  const now = Math.floor(Date.now() / 1_000);
  const all = { iss: ISSUER, aud: AUDIENCE, sub: 'ann', iat: now, exp: now + 3_600, ...claims };
  const payload = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  return new SignJWT(payload).setProtectedHeader({ alg: key.alg, kid: key.kid, ...header }).sign(key.privateKey);
}
