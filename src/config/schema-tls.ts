/* Keys of certificates, for every connection by TLS that this gateway opens. */

import { fileName, optionalKey, optionalSection } from './keys.js';

export const tlsSection = optionalSection(
  'none; the authorities that Node trusts',
  'Certificates for TLS. Files are read at start; restart after a renewal.',
  {
    ca_file: optionalKey(
      fileName,
      'the authorities that Node trusts',
      'Certificates (PEM) of the authorities to trust instead of those of Node.',
    ),
    cert_file: optionalKey(fileName, 'none', 'Certificate (PEM) of this gateway, for a server that requires one.'),
    key_file: optionalKey(fileName, 'none', 'Its private key (PEM). Needed with `cert_file`.'),
  },
);
