/* Names of images: `[registry[:port]/]repository[:tag][@digest]`. */

/**
 * The image of the same repository with `version` as its tag.
 * @throws Error if the image is named by its digest
 */
export function imageInVersion(image, version) {
  // A digest names exactly one image, so the one of another version cannot be derived from it.
  if (image.includes('@'))
    throw new Error(`the image is named by its digest (${image}); name the new one: IMAGE=REPOSITORY@sha256:...`);
  // A colon before the last slash is the port of a registry.
  return `${image.replace(/:[^:/]*$/, '')}:${version}`;
}
