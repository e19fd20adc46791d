import { moveByArrows } from '../lib/arrows';
import '../lib/focus';
import { translate } from '../lib/i18n';

translate('missingTitle');
moveByArrows('.door, .page-foot a');
