import { moveByArrows } from '../lib/arrows';
import '../lib/focus';
import { translate } from '../lib/i18n';
import { loadInfo } from '../lib/info';
import { offerSecurePage } from '../lib/insecure';

translate('landingTitle');
moveByArrows('.door, #notice-link, .page-foot a');
void loadInfo().then((info) => info && offerSecurePage(info));
