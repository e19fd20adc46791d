/** The global `Castway` of the single file, which also makes `<castway-tv>` known. */
import { defineElement } from './element';

export * from './index';
export { CastwayTvElement } from './element';

defineElement();
