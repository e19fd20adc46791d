const crypto=require('crypto');
function getKey(username) {
// 如果你在配置文件开启了use-static-secret,则直接填写你在那里写的密钥
let request_key = '你的密钥';
// 过期时间戳,超过时间戳密钥无效。
let time = (Date.now() + 365 * 1 * 1000 * 60 * 60 * 24).toString();
let uname = time + ':' + username;
let hmac = crypto.createHmac("sha1", request_key);
let result = hmac.update(uname).digest("Base64");
return {
username: uname,
credential: result
}
}
