/*
 * The resumes of one response on a connection: which of them is the newest, and the places that
 * they have in lanes.
 */

import { responseExpired } from '../../turn/response-errors.js';
import { type Following } from './following.js';
import { type ResumePlace } from './resume-place.js';

/** One resume among the others of its response. */
export interface ResumeTurn {
  readonly resumes: Resumes;
  readonly place: ResumePlace;
  readonly frame: number;
  /** Whether no later frame has decided about the response, and the socket is open. */
  readonly wanted: () => boolean;
}

export class Resumes {
  readonly #places = new Map<string | undefined, ResumePlace>();
  readonly #placeIn: (streamId: string | undefined) => ResumePlace;
  readonly #onIdle: () => void;
  #newest = 0;
  #pending = 0;
  /** The place in whose lane the response is followed. */
  #holder: ResumePlace | undefined;
  #following: Following | undefined;

  /**
   * @param placeIn creates a place at the end of a lane
   * @param onIdle called when every resume is answered and no place holds a following
   */
  constructor(placeIn: (streamId: string | undefined) => ResumePlace, onIdle: () => void) {
    this.#placeIn = placeIn;
    this.#onIdle = onIdle;
  }

  /**
   * Registers a resume.
   * @returns its place, and a function that returns whether it is still the newest
   */
  begin(streamId: string | undefined): { readonly place: ResumePlace; readonly isNewest: () => boolean } {
    let place = this.#places.get(streamId);
    if (place === undefined || place.over) {
      place = this.#placeIn(streamId);
      this.#places.set(streamId, place);
    }
    place.begin();
    this.#pending += 1;
    this.#newest += 1;
    const number = this.#newest;
    return { place, isNewest: () => this.#newest === number };
  }

  /** Records that a resume was answered. */
  settle(place: ResumePlace): void {
    this.#pending -= 1;
    place.settle();
    this.#forgetPlaces();
  }

  /**
   * Records that the response is followed in this place's lane. The place lasts until the response
   * has ended. A place in another lane ends now.
   */
  hold(place: ResumePlace, following: Following): void {
    const before = this.#holder;
    this.#holder = place;
    place.holds = true;
    if (before !== undefined && before !== place) before.holds = false;
    following.resumed = true;
    if (this.#following === following) return;
    this.#following = following;
    void following.end.then((end) => {
      // The response can end and be resumed again in one tick, before this runs. Releasing the
      // place would then end the new following. Compare, so that only the ended following releases
      // it.
      if (this.#following !== following) return;
      if (end === 'lost') this.#holder?.refuse(responseExpired());
      this.#leave();
    });
  }

  /**
   * Records that a create has taken the following over, with its lane. The places of the resumes
   * end, and an error of the response belongs to the create.
   */
  release(): void {
    if (this.#following === undefined) return;
    this.#following.resumed = false;
    this.#leave();
  }

  #leave(): void {
    if (this.#holder !== undefined) this.#holder.holds = false;
    this.#holder = undefined;
    this.#following = undefined;
    this.#forgetPlaces();
  }

  #forgetPlaces(): void {
    for (const [streamId, place] of this.#places) if (place.over) this.#places.delete(streamId);
    if (this.#pending === 0 && this.#holder === undefined) this.#onIdle();
  }
}
