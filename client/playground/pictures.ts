/*
 * The images that wait in the composer: taken by paste and drop, shown, and removable. Knows no
 * client. An image that is too large for one message is scaled down.
 */

import { add, element } from './dom.js';

/** Most bytes of an image that is sent as it is. Frames of the gateway have 1 MiB by default. */
const MOST_BYTES = 500_000;
/** Longest side of an image that is scaled down, in pixels. */
const LONGEST_SIDE = 1_536;
const MOST_PICTURES = 4;

export class Pictures {
  readonly #list = element('pictures');
  readonly #changed: () => void;
  #urls: string[] = [];

  /** @param changed called when an image was added or removed */
  constructor(composer: HTMLElement, changed: () => void) {
    this.#changed = changed;
    composer.addEventListener('paste', (event) => this.#take(event, event.clipboardData));
    composer.addEventListener('dragover', (event) => event.preventDefault());
    composer.addEventListener('drop', (event) => this.#take(event, event.dataTransfer));
  }

  get empty(): boolean {
    return this.#urls.length === 0;
  }

  /** Empties the list. @returns the data URLs that were in it */
  takeAll(): readonly string[] {
    const urls = this.#urls;
    this.#urls = [];
    this.#draw();
    return urls;
  }

  /** Takes the images of a paste or drop. Text is left to the browser. */
  #take(event: Event, data: DataTransfer | null): void {
    const files = [...(data?.files ?? [])].filter(({ type }) => type.startsWith('image/'));
    if (files.length === 0) return;
    event.preventDefault();
    for (const file of files) {
      readPicture(file).then(
        (url) => {
          this.#urls = [...this.#urls, url].slice(-MOST_PICTURES);
          this.#draw();
        },
        () => undefined,
      );
    }
  }

  #draw(): void {
    this.#list.replaceChildren();
    this.#list.hidden = this.empty;
    this.#urls.forEach((url, index) => {
      const row = add(this.#list, 'li');
      picture(row, url, `Image ${index + 1}`);
      const remove = add(row, 'button', 'link', 'Remove');
      remove.type = 'button';
      remove.ariaLabel = `Remove image ${index + 1}`;
      remove.addEventListener('click', () => {
        this.#urls = this.#urls.filter((_, at) => at !== index);
        this.#draw();
      });
    });
    this.#changed();
  }
}

/**
 * Shows an image. One of another server is not loaded: the request would show that server who
 * reads.
 */
export function picture(parent: HTMLElement, url: string, label: string): void {
  if (!url.startsWith('data:image/')) {
    add(parent, 'span', 'fine', `${label}: ${url}`);
    return;
  }
  const image = add(parent, 'img', 'picture');
  image.src = url;
  image.alt = label;
}

async function readPicture(file: File): Promise<string> {
  return file.size <= MOST_BYTES && /^image\/(?:png|jpeg|gif|webp)$/u.test(file.type) ? dataUrl(file) : scaled(file);
}

function dataUrl(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener('load', () => resolve(String(reader.result)));
    reader.addEventListener('error', () => reject(new Error('unable to read the image')));
    reader.readAsDataURL(file);
  });
}

async function scaled(file: File): Promise<string> {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, LONGEST_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext('2d')?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return canvas.toDataURL('image/jpeg', 0.8);
}
