import { translate } from '../lib/i18n';

translate('landingTitle');

// For a remote control: not every television's browser moves the focus by its arrow keys.
const doors = document.querySelectorAll<HTMLAnchorElement>('.door');
document.addEventListener('keydown', (event) => {
  if (event.keyCode < 37 || event.keyCode > 40) return;
  const next = event.keyCode < 39 ? doors[0] : doors[1];
  if (next && document.activeElement !== next) {
    next.focus();
    event.preventDefault();
  }
});
