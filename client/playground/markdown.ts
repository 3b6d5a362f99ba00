/*
 * Renders Markdown safely: HTML in a text is shown as text, and the output of the renderer passes a
 * sanitizer. While a text grows, only its last block is drawn again.
 */

import DOMPurify, { type Config } from 'dompurify';
import { Marked, type Token, type Tokens } from 'marked';

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    html: ({ text }: Tokens.HTML | Tokens.Tag) => escapeHtml(text),
    // A picture would load from another origin, which the page's policy forbids.
    image: ({ text, href }: Tokens.Image) => `<a href="${escapeHtml(href)}">${escapeHtml(text || href)}</a>`,
    // The page's own headings are above these.
    heading({ tokens, depth }: Tokens.Heading) {
      const level = Math.min(Math.max(depth + 1, 3), 6);
      return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>`;
    },
    checkbox: ({ checked }: Tokens.Checkbox) => (checked ? '☑ ' : '☐ '),
  },
});

const ALLOWED: Config & { readonly RETURN_DOM_FRAGMENT: true } = {
  ALLOWED_TAGS: [
    ...['p', 'br', 'hr', 'strong', 'em', 'del', 'code', 'pre', 'blockquote', 'ul', 'ol', 'li', 'a'],
    ...['h3', 'h4', 'h5', 'h6', 'table', 'thead', 'tbody', 'tr', 'th', 'td'],
  ],
  ALLOWED_ATTR: ['href', 'title', 'start', 'align'],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
  ALLOW_DATA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

interface Block {
  readonly raw: string;
  readonly nodes: readonly ChildNode[];
}

/** One growing text and its elements. */
export class MarkdownView {
  readonly #target: HTMLElement;
  #blocks: Block[] = [];
  #text = '';

  constructor(target: HTMLElement) {
    this.#target = target;
  }

  /** Draws `text`, keeping every block that it has in common with what is shown. */
  show(text: string): void {
    if (text === this.#text) return;
    // Blocks before the last one are finished: later text cannot change them.
    const grown = text.startsWith(this.#text);
    const kept = grown ? this.#blocks.slice(0, -1) : [];
    const from = kept.reduce((length, { raw }) => length + raw.length, 0);
    for (const { nodes } of this.#blocks.slice(kept.length)) for (const node of nodes) node.remove();
    this.#blocks = [...kept, ...marked.lexer(text.slice(from)).map((token) => this.#draw(token))];
    this.#text = text;
  }

  #draw(token: Token): Block {
    const html = marked.parser([token]);
    const fragment = DOMPurify.sanitize(html, ALLOWED);
    for (const link of fragment.querySelectorAll('a')) {
      link.target = '_blank';
      link.rel = 'noopener noreferrer nofollow';
    }
    for (const wide of fragment.querySelectorAll<HTMLElement>('pre, table')) wide.tabIndex = 0;
    const nodes = [...fragment.childNodes].filter(({ textContent }) => textContent !== '\n');
    this.#target.append(...nodes);
    return { raw: token.raw, nodes };
  }
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
