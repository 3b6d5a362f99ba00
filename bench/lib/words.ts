/* The text of the bench's provider, and words that are banned in it without occurring. */

const WORDS = (
  'the of and to in is you that it he was for on are as with his they at be this have from or one had by word but not what all were we when your can said ' +
  'there use an each which she do how their if will up other about out many then them these so some her would make like him into time has look two more write go ' +
  'see number no way could people my than first water been call who oil its now find long down day did get come made may part over new sound take only little work know ' +
  'place year live me back give most very after thing our just name good sentence man think say great where help through much before line right too mean old any same tell ' +
  'boy follow came want show also around form three small set put end does another well large must big even such because turn here why ask went men read need land different ' +
  'home us move try kind hand picture again change off play spell air away animal house point page letter mother answer found study still learn should world'
).split(' ');

/** The text of a response's delta `index`: a space and a word. */
export function wordAt(index: number): string {
  // A stride that is prime to the list's length, so that neighbours differ.
  return ` ${WORDS[(index * 37) % WORDS.length] ?? 'word'}`;
}

/**
 * `count` words that begin as common words do and occur in no text of the bench: guards have to
 * look, and find nothing.
 */
export function bannedWords(count: number): string[] {
  return Array.from({ length: count }, (_, i) => {
    const stem = WORDS[i % WORDS.length] ?? 'word';
    return `${stem}${['zq', 'xv', 'qk', 'vj', 'jx'][Math.floor(i / WORDS.length) % 5]}${i}`;
  });
}
