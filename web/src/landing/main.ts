import { moveByArrows } from '../lib/arrows';
import { translate } from '../lib/i18n';

translate('landingTitle');
moveByArrows('.door');
