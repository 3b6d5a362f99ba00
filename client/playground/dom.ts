/* Helpers for elements of the page. */

export function element<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`index.html has no #${id}`);
  // index.html and its scripts are written together.
  return found as T;
}

export function add<K extends keyof HTMLElementTagNameMap>(
  parent: HTMLElement,
  tag: K,
  className = '',
  text = '',
): HTMLElementTagNameMap[K] {
  const child = document.createElement(tag);
  if (className !== '') child.className = className;
  child.textContent = text;
  parent.append(child);
  return child;
}

/** Makes a button copy a text and confirm that for a moment. */
export function copies(button: HTMLButtonElement, text: () => string): void {
  const label = button.textContent;
  button.addEventListener('click', () => {
    copy(text()).then(
      () => (button.textContent = 'Copied'),
      () => (button.textContent = 'Can’t copy here'),
    );
    setTimeout(() => (button.textContent = label), 1_500);
  });
}

/** Copies a text, also on plain http, where pages have no clipboard. */
async function copy(text: string): Promise<void> {
  // The type says that it always exists, but it is missing outside of secure contexts.
  const clipboard = navigator.clipboard as Clipboard | undefined;
  if (clipboard !== undefined) {
    await clipboard.writeText(text);
    return;
  }
  const area = document.createElement('textarea');
  area.value = text;
  area.className = 'hidden';
  document.body.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  if (!done) throw new Error('refused');
}
